//! The tree against its definition, and every way to tamper that we know.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

pub fn entry(n: u64) -> Entry {
    let salt = format!("{n:032x}");
    let payload = format!("{{\"n\":{n}}}");
    Entry {
        entry_id: format!("{n:032x}"),
        workspace_id: "default".into(),
        time: 1_700_000_000_000 + n.cast_signed(),
        actor_id: "a".into(),
        actor_name: "ann".into(),
        person_id: "p".into(),
        on_behalf_of: String::new(),
        token_id: String::new(),
        credential: "password".into(),
        request_id: "r".into(),
        source_address: "192.0.2.7".into(),
        action: "stagegate.v1.TrackingService/CreateRun".into(),
        object_kind: "run".into(),
        object_id: "o".into(),
        object_name: "run".into(),
        scope_id: "0".into(),
        outcome: Outcome::Ok,
        reason: String::new(),
        payload_digest: payload_digest(&salt, &payload),
        payload: Some(payload),
        salt,
    }
}

/// The tree's definition in RFC 9162, section 2.1.1.
fn root_by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(Sha256::digest([]).into()),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            tlog_tiles::node_hash(root_by_definition(&leaves[..split]), root_by_definition(&leaves[split..]))
        }
    }
}

fn stored(leaves: &[Hash]) -> Hashes {
    let mut hashes = Hashes::default();
    for (position, leaf) in (0u64..).zip(leaves) {
        let new = appended(position, *leaf).run(&hashes).unwrap();
        for (index, hash) in (stored_count(position)..).zip(new) {
            hashes.0.insert(index, hash);
        }
    }
    hashes
}

fn key() -> (CheckpointSigner, String) {
    let seed = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let public = signed_note::new_ed25519_verifier_key("stagegate.test", &seed.verifying_key());
    let id = public.split('+').nth(1).unwrap();
    let private = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [&[1], seed.to_bytes().as_slice()].concat());
    let private = format!("PRIVATE+KEY+stagegate.test+{id}+{private}");
    (CheckpointSigner::new("stagegate.test", &private).unwrap(), public)
}

fn note(entries: &[Entry]) -> String {
    let leaves: Vec<_> = entries.iter().map(Entry::leaf_hash).collect();
    key().0.sign(leaves.len() as u64, root_by_definition(&leaves), "").unwrap()
}

fn verify(entries: &[(u64, Entry)], checkpoints: &[String], against: Option<&str>) -> Report {
    let mut verifier = Verifier::new(&key().1).unwrap();
    if let Some(kept) = against {
        verifier.keep_against("kept", kept).unwrap();
    }
    for (position, entry) in entries {
        verifier.row(*position, entry, &[]);
        for note in checkpoints {
            if verify_note(note, &key().1).unwrap().size == verifier.size() {
                verifier.checkpoint(note);
            }
        }
    }
    verifier.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn proofs_hold_and_changed_ones_do_not(size in 1u64..70, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let leaves: Vec<_> = (0..size).map(|n| entry(n).leaf_hash()).collect();
        let hashes = stored(&leaves);
        prop_assert_eq!(hashes.0.len() as u64, stored_count(size));
        let root = tree_root(size).run(&hashes).unwrap();
        prop_assert_eq!(root, root_by_definition(&leaves));
        let position = a.index(leaves.len()) as u64;
        let plan = inclusion(size, position);
        let needed = Hashes(hashes.0.iter().filter(|(i, _)| plan.needs.contains(i)).map(|(i, h)| (*i, *h)).collect());
        let mut proof = plan.run(&needed).unwrap();
        let leaf = leaves[usize::try_from(position).unwrap()];
        prop_assert!(tlog_tiles::check_record(&proof, size, root, position, leaf).is_ok());
        if !proof.is_empty() {
            let at = b.index(proof.len());
            proof[at].0[0] ^= 1;
            prop_assert!(tlog_tiles::check_record(&proof, size, root, position, leaf).is_err());
        }
        let old = position + 1;
        let old_root = root_by_definition(&leaves[..usize::try_from(old).unwrap()]);
        let proof = consistency(old, size).run(&hashes).unwrap();
        prop_assert!(tlog_tiles::check_tree(&proof, size, root, old, old_root).is_ok());
        let mut wrong = old_root;
        wrong.0[31] ^= 1;
        prop_assert!(tlog_tiles::check_tree(&proof, size, root, old, wrong).is_err());
    }

    #[test]
    fn every_changed_byte_of_an_export_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let entries: Vec<_> = (0..6).map(entry).collect();
        let mut lines = vec![Line::Begin { format: 1, origin: "stagegate.test".into(), verifier_key: key().1 }];
        lines.extend((0..).zip(&entries).map(|(position, entry)| Line::Entry { position, entry: Box::new(entry.clone()) }));
        lines.push(Line::Checkpoint { note: note(&entries) });
        lines.push(Line::End { entries: 6 });
        let text: String = lines.iter().map(|line| line.to_json().unwrap()).collect();
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut read = Vec::new();
        let outcome = read_export(bytes.as_slice(), |line| read.push(line));
        let sound = outcome.is_ok() && read.len() == lines.len() && {
            let mut verifier = Verifier::new(&key().1).unwrap();
            let mut ended = false;
            for line in &read {
                match line {
                    Line::Entry { position, entry } => verifier.row(*position, entry, &[]),
                    Line::Checkpoint { note } => verifier.checkpoint(note),
                    Line::End { entries } => ended = *entries == verifier.size(),
                    Line::Begin { .. } => {}
                }
            }
            verifier.finish().sound() && ended
        };
        // The first line only repeats what a verifier is told by other means.
        prop_assert!(!sound || read[1..] == lines[1..], "byte {} of {:?}", at, text);
    }
}

#[test]
fn fields_cannot_run_into_each_other() {
    let mut moved = entry(1);
    moved.actor_id = "aa".into();
    moved.actor_name = "nn".into();
    let mut other = entry(1);
    other.actor_id = "a".into();
    other.actor_name = "ann".into();
    assert_ne!(moved.leaf_hash(), other.leaf_hash());
}

#[test]
fn tampering_is_found_and_named() {
    let entries: Vec<_> = (0..10).map(|n| (n, entry(n))).collect();
    let plain: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
    let checkpoints = vec![note(&plain[..4]), note(&plain)];
    let report = verify(&entries, &checkpoints, None);
    assert!(report.sound() && report.checkpointed == 10, "{report}");

    let named = |rows: &[(u64, Entry)]| verify(rows, &checkpoints, None).first_bad.map(|bad| bad.position);
    let mut changed = entries.clone();
    changed[6].1.payload = Some("{}".into());
    assert_eq!(named(&changed), Some(Some(6)));
    let mut dropped = entries.clone();
    dropped.remove(3);
    assert_eq!(named(&dropped), Some(Some(3)));
    let mut doubled = entries.clone();
    doubled.insert(5, entries[5].clone());
    assert_eq!(named(&doubled), Some(Some(6)));
    let mut swapped = entries.clone();
    swapped.swap(7, 8);
    assert_eq!(named(&swapped), Some(Some(7)));
    // Renumbered and rehashed, as one does who holds the database: the checkpoint still tells.
    let mut rewritten = entries.clone();
    rewritten[6].1.actor_name = "bob".into();
    assert_eq!(named(&rewritten), Some(Some(4)), "behind the last checkpoint that still holds");
}

#[test]
fn a_kept_checkpoint_shows_a_cut_or_rewritten_log() {
    let plain: Vec<_> = (0..10).map(entry).collect();
    let kept = note(&plain);
    let rows = |entries: &[Entry]| (0..).zip(entries.iter().cloned()).collect::<Vec<_>>();
    assert!(verify(&rows(&plain), &[], Some(&kept)).sound());
    let cut = verify(&rows(&plain[..9]), &[note(&plain[..9])], Some(&kept));
    assert_eq!(cut.first_bad.unwrap().position, Some(9));
    let mut other = plain.clone();
    other[2].actor_name = "bob".into();
    assert!(!verify(&rows(&other), &[note(&other)], Some(&kept)).sound());
    let mut longer = plain.clone();
    longer.push(entry(10));
    assert!(verify(&rows(&longer), &[], Some(&kept)).sound(), "a longer log may follow");
}

#[test]
fn a_removed_payload_is_never_sound() {
    let mut entries: Vec<_> = (0..4).map(|n| (n, entry(n))).collect();
    let plain: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
    entries.iter_mut().for_each(|(_, entry)| entry.payload = None);
    let report = verify(&entries, &[note(&plain)], Some(&note(&plain)));
    let found = report.first_bad.expect("nothing orders the removal");
    assert!(found.position == Some(0) && found.what.contains("the payload was removed"), "{found}");
}

#[test]
fn what_no_checkpoint_vouches_for_is_told() {
    let mut entries: Vec<_> = (0..6).map(|n| (n, entry(n))).collect();
    let plain: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
    let vouched = |entries: &[(u64, Entry)], checkpoints: &[String], kept: Option<&str>| {
        let report = verify(entries, checkpoints, kept);
        assert!(report.sound(), "{report}");
        assert_eq!(report.to_string().contains("NOT vouched for"), !report.vouched(), "{report}");
        (report.vouched(), report.checkpointed)
    };
    assert_eq!(vouched(&entries, &[note(&plain)], None), (true, 6));
    assert_eq!(vouched(&entries, &[note(&plain[..4])], None), (false, 4), "two rows came after it");
    assert_eq!(vouched(&entries, &[], Some(&note(&plain))), (true, 6), "a kept checkpoint vouches as well");
    assert_eq!(vouched(&[], &[], None), (false, 0));
    // All checkpoints cut out and a row rewritten: nothing contradicts it, and nothing vouches for it.
    entries[2].1.actor_name = "bob".into();
    assert_eq!(vouched(&entries, &[], None), (false, 0));
}

#[test]
fn a_forged_checkpoint_is_refused() {
    let good = note(&[entry(0)]);
    assert!(verify_note(&good, &key().1).is_ok());
    assert_eq!(verify_note(&good.replace("\n1\n", "\n2\n"), &key().1), Err(CheckpointError::Signature));
    assert_eq!(verify_note("x", &key().1), Err(CheckpointError::Malformed));
    assert_eq!(verify_note(&good, "x"), Err(CheckpointError::Key));
}

/// The worked example of FORMAT.md.
#[test]
fn the_documented_example_holds() {
    let format = include_str!("FORMAT.md");
    assert!(format.contains(&entry(7).payload_digest), "{}", entry(7).payload_digest);
    assert!(format.contains(&hex::encode(entry(7).leaf_hash().0)), "{}", hex::encode(entry(7).leaf_hash().0));
}
