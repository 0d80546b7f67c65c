//! Evidence: what a promotion request rests on, copied when it is filed. People approve its digest.
//!
//! Only a part of it decides: which version moves under which name with which files, to which target, who holds that
//! now, and the gate.
//! When that changes, earlier approvals no longer count. The rest, such as a run's metrics, params and tags, is what
//! was seen at filing: people log to runs all the time, and an approval must not be blocked by it.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::metric_value;

const TAG: &[u8] = b"stagegate evidence v1\n";

/// Of a differing value so many characters are told.
const TOLD: usize = 100;

/// The record. Its canonical form is its JSON: fields in this order, maps sorted by key, metric values in
/// their exact integer form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The version that shall take the target.
    pub candidate: EvidenceVersion,
    /// The version that holds it.
    pub holder: Option<EvidenceVersion>,
    /// The target as written.
    pub target: String,
    /// The gate.
    pub gate_id: String,
    /// The gate's version.
    pub gate_version: i32,
    /// What is not in the record, because it would be too large; none when all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Known to the server alone, and the same for the same record: whoever sees the digest and not the record cannot try
    /// values until one fits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
}

/// A record in the form in which it is kept.
#[derive(Debug, Clone)]
pub struct KeptEvidence {
    /// Of the text.
    pub digest: String,
    /// The canonical text.
    pub text: String,
    /// The runs that it tells of.
    pub runs: EvidenceRuns,
}

/// The runs that a record tells of; whoever may not read one of them does not see all of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRuns {
    /// The run that made the candidate.
    pub candidate: Option<String>,
    /// The run that made the version that holds the target.
    pub holder: Option<String>,
}

impl EvidenceRuns {
    /// Each with the word for whose it is: `candidate`, `holder`.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = [("candidate", &self.candidate), ("holder", &self.holder)];
        named.into_iter().filter_map(|(whose, run_id)| Some((whose, run_id.as_deref()?)))
    }
}

/// Metrics, params and tags that exceed what a record holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many entries of each kind: `candidate.params`.
    pub entries: BTreeMap<String, u64>,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// SHA-256 of them in hexadecimal: for each, in the order in which the database read them, the lengths in bytes
    /// of kind, key and value as 8 bytes big-endian each, then the three texts.
    pub sha256: String,
}

/// Bytes of keys and values that a record holds; further ones are left out.
pub const RECORD_BYTES: u64 = 1 << 20;

/// Counts what goes into a record, and hashes what does not.
pub struct Room {
    left: u64,
    entries: BTreeMap<String, u64>,
    bytes: u64,
    hash: Sha256,
}

impl Default for Room {
    fn default() -> Self {
        Self { left: RECORD_BYTES, entries: BTreeMap::new(), bytes: 0, hash: Sha256::new() }
    }
}

impl Room {
    /// Whether an entry goes into the record. Once one of a kind was left out, all later ones of that kind are.
    pub fn holds(&mut self, kind: &str, key: &str, value: &str) -> bool {
        let bytes = (key.len() + value.len()) as u64;
        if !self.entries.contains_key(kind) && bytes <= self.left {
            self.left -= bytes;
            return true;
        }
        *self.entries.entry(kind.to_owned()).or_default() += 1;
        self.bytes += bytes;
        for text in [kind, key, value] {
            self.hash.update((text.len() as u64).to_be_bytes());
        }
        for text in [kind, key, value] {
            self.hash.update(text);
        }
        false
    }

    /// What was left out.
    pub fn left_out(self) -> Option<LeftOut> {
        let sha256 = hex::encode(self.hash.finalize());
        (!self.entries.is_empty()).then_some(LeftOut { entries: self.entries, bytes: self.bytes, sha256 })
    }
}

/// One way in which the sources of a record differ from it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Because of it earlier approvals no longer count.
    pub decides: bool,
    /// It tells what a run logged, so only those may read it who may read that run.
    pub of_run: bool,
    /// In words.
    pub text: String,
}

/// A version and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceVersion {
    /// The registered model's immutable id.
    pub model_uid: String,
    /// The registered model's name when it was copied.
    pub name: String,
    /// The number.
    pub version: i32,
    /// As registered.
    pub source: String,
    /// SHA-256 of the manifest in hexadecimal, or `unverified`.
    pub source_digest: String,
    /// Empty when no run was named.
    pub run_id: String,
    /// Latest values of the run.
    pub metrics: BTreeMap<String, EvidenceMetric>,
    /// The run's.
    pub params: BTreeMap<String, String>,
    /// The run's.
    pub run_tags: BTreeMap<String, String>,
    /// The version's.
    pub tags: BTreeMap<String, String>,
}

/// The latest point of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceMetric {
    /// See `metric_value`.
    pub stored: i64,
    /// Unix milliseconds.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
}

impl Evidence {
    /// The canonical text.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// SHA-256 of a canonical text, in hexadecimal.
    pub fn digest(json: &str) -> String {
        hex::encode(Sha256::new().chain_update(TAG).chain_update(json).finalize())
    }

    /// Gives the record its salt and the form in which it is kept.
    pub fn keep(mut self, salt_key: &[u8; 32]) -> Result<KeptEvidence, serde_json::Error> {
        self.salt.clear();
        let mut mac = Hmac::<Sha256>::new_from_slice(salt_key).expect("HMAC takes keys of every length");
        mac.update(self.to_json()?.as_bytes());
        self.salt = hex::encode(&mac.finalize().into_bytes()[..16]);
        let text = self.to_json()?;
        Ok(KeptEvidence { digest: Self::digest(&text), text, runs: self.runs() })
    }

    /// The runs that it tells of.
    pub fn runs(&self) -> EvidenceRuns {
        let run = |version: &EvidenceVersion| Some(version.run_id.clone()).filter(|run_id| !run_id.is_empty());
        EvidenceRuns { candidate: run(&self.candidate), holder: self.holder.as_ref().and_then(run) }
    }

    /// Whether entries of a kind, such as `candidate.params`, were left out. Entries go in sorted by key, so those that
    /// were left out come after all that went in.
    fn lacks(&self, kind: &str) -> bool {
        self.left_out.as_ref().is_some_and(|left| left.entries.contains_key(kind))
    }

    /// How `now` differs; empty when nothing does. The name of the model decides as well: whoever approves
    /// a version approves it under the name by which it is served.
    /// Of a kind of which one of the two lacks entries, those are compared that both would hold.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let whole = |whose: &'static str| {
            move |kind: &str| {
                let kind = format!("{whose}.{kind}");
                (!self.lacks(&kind), !now.lacks(&kind))
            }
        };
        compare_texts("the target", &self.target, &now.target, &mut found);
        compare_texts("the model's name", &self.candidate.name, &now.candidate.name, &mut found);
        compare_version("", &self.candidate, &now.candidate, whole("candidate"), &mut found);
        match (&self.holder, &now.holder) {
            (Some(was), Some(is)) if was.is_version(is) => compare_version("the holder's ", was, is, whole("holder"), &mut found),
            (None, None) => {}
            (was, is) => {
                let number = |holder: &Option<EvidenceVersion>| holder.as_ref().map_or_else(|| "none".to_owned(), EvidenceVersion::told);
                found.push(deciding(format!("the holder: {} -> {}", number(was), number(is))));
            }
        }
        if (&self.gate_id, self.gate_version) != (&now.gate_id, now.gate_version) {
            let told = |evidence: &Self| format!("{} version {}", evidence.gate_id, evidence.gate_version);
            found.push(deciding(format!("the gate: {} -> {}", told(self), told(now))));
        }
        found
    }
}

impl EvidenceVersion {
    fn is_version(&self, other: &Self) -> bool {
        (&self.model_uid, self.version) == (&other.model_uid, other.version)
    }

    fn told(&self) -> String {
        format!("version {} of {} ({})", self.version, self.name, self.model_uid)
    }
}

fn deciding(text: String) -> Difference {
    Difference { decides: true, of_run: false, text }
}

fn compare_version(
    whose: &str,
    was: &EvidenceVersion,
    is: &EvidenceVersion,
    whole: impl Fn(&str) -> (bool, bool),
    found: &mut Vec<Difference>,
) {
    if !was.is_version(is) {
        found.push(deciding(format!("{whose}version: {} -> {}", was.told(), is.told())));
    }
    compare_texts(&format!("{whose}source"), &was.source, &is.source, found);
    compare_texts(&format!("{whose}source digest"), &was.source_digest, &is.source_digest, found);
    compare_texts(&format!("{whose}run"), &was.run_id, &is.run_id, found);
    let seen = |of_run| move |text| Difference { decides: false, of_run, text };
    let metrics = compare_maps(&format!("{whose}metric"), &was.metrics, &is.metrics, whole("metrics"), told_metrics);
    found.extend(metrics.into_iter().map(seen(true)));
    for (what, kind, was, is, of_run) in [
        ("param", "params", &was.params, &is.params, true),
        ("run tag", "run_tags", &was.run_tags, &is.run_tags, true),
        ("tag", "tags", &was.tags, &is.tags, false),
    ] {
        let differing = compare_maps(&format!("{whose}{what}"), was, is, whole(kind), |text, _| told(text));
        found.extend(differing.into_iter().map(seen(of_run)));
    }
}

fn compare_texts(what: &str, was: &str, is: &str, found: &mut Vec<Difference>) {
    if was != is {
        found.push(deciding(format!("{what}: {} -> {}", told(was), told(is))));
    }
}

/// The value, and when that is the same in both points, also where in the history it stands.
fn told_metrics(metric: &EvidenceMetric, other: Option<&EvidenceMetric>) -> String {
    let value = metric_value::decode(metric.stored);
    match other {
        Some(other) if other.stored == metric.stored => {
            format!("{value} (step {}, time {})", metric.step, metric.timestamp)
        }
        _ => value.to_string(),
    }
}

fn told(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.is_empty() => "empty".to_owned(),
        None => text.to_owned(),
    }
}

fn compare_maps<T: PartialEq>(
    what: &str,
    was: &BTreeMap<String, T>,
    is: &BTreeMap<String, T>,
    (was_whole, is_whole): (bool, bool),
    show: impl Fn(&T, Option<&T>) -> String,
) -> Vec<String> {
    // A side that lacks entries says nothing of the keys after its last one.
    let known = |key: &String| {
        let within = |whole: bool, side: &BTreeMap<String, T>| whole || side.last_key_value().is_some_and(|(last, _)| key <= last);
        within(was_whole, was) && within(is_whole, is)
    };
    let text = |value: Option<&T>, other| value.map_or_else(|| "none".to_owned(), |value| show(value, other));
    let keys = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key)));
    let differs = keys.filter(|key| known(key) && was.get(*key) != is.get(*key));
    differs
        .map(|key| {
            let (before, after) = (was.get(key), is.get(key));
            format!("{what} {key}: {} -> {}", text(before, after), text(after, before))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let metric = |value| EvidenceMetric { stored: metric_value::encode(value), timestamp: 5, step: 0 };
        Evidence {
            candidate: EvidenceVersion {
                model_uid: "m".into(),
                name: "enet".into(),
                version: 2,
                source: "runs:/r/model".into(),
                source_digest: "aa".into(),
                run_id: "r".into(),
                metrics: [("rmse".to_owned(), metric(0.71)), ("nan".to_owned(), metric(f64::NAN))].into(),
                params: [("alpha".to_owned(), "0.01".to_owned())].into(),
                run_tags: BTreeMap::new(),
                tags: BTreeMap::new(),
            },
            holder: None,
            target: "Production".into(),
            gate_id: "g".into(),
            gate_version: 1,
            left_out: None,
            salt: String::new(),
        }
    }

    fn texts(found: &[Difference]) -> Vec<&str> {
        found.iter().map(|difference| difference.text.as_str()).collect()
    }

    /// A change to a record.
    type Change = fn(&mut Evidence);

    /// One change to each field.
    fn changes() -> Vec<Change> {
        vec![
            |e| e.candidate.model_uid.push('x'),
            |e| e.candidate.version += 1,
            |e| e.candidate.source.push('x'),
            |e| e.candidate.source_digest.push('x'),
            |e| e.candidate.run_id.push('x'),
            |e| metric_of(e).stored += 1,
            |e| metric_of(e).timestamp += 1,
            |e| metric_of(e).step += 1,
            |e| e.candidate.metrics.retain(|key, _| key != "nan"),
            |e| drop(e.candidate.params.insert("alpha".into(), "0.02".into())),
            |e| drop(e.candidate.run_tags.insert("k".into(), String::new())),
            |e| drop(e.candidate.tags.insert("k".into(), String::new())),
            |e| e.holder = Some(e.candidate.clone()),
            |e| e.target = "Staging".into(),
            |e| e.gate_id.push('x'),
            |e| e.gate_version += 1,
            |e| e.candidate.name.push('x'),
            |e| e.left_out = Some(LeftOut { entries: BTreeMap::new(), bytes: 1, sha256: "aa".into() }),
            |e| e.salt.push('x'),
        ]
    }

    fn metric_of(evidence: &mut Evidence) -> &mut EvidenceMetric {
        evidence.candidate.metrics.get_mut("rmse").unwrap()
    }

    #[test]
    fn every_change_is_told_and_changes_the_digest() {
        let json = evidence().to_json().unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence());
        for (index, change) in changes().into_iter().enumerate() {
            let mut now = evidence();
            change(&mut now);
            assert_ne!(Evidence::digest(&now.to_json().unwrap()), Evidence::digest(&json), "change {index}");
            let told = evidence().differences(&now);
            if index >= 17 {
                assert!(told.is_empty(), "how a record is kept is no difference of its sources: {told:?}");
                continue;
            }
            assert_eq!(told.len(), 1, "change {index}: {told:?}");
            let decides = !matches!(index, 5..=11);
            assert_eq!(told[0].decides, decides, "change {index}: {told:?}");
            let (before, after) = told[0].text.split_once(" -> ").unwrap();
            assert!(!before.ends_with(&format!(": {after}")), "says what is different: {told:?}");
        }
    }

    #[test]
    fn what_a_full_record_lacks_is_no_difference() {
        let params = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect::<BTreeMap<_, _>>();
        let lacks = |kind: &str| Some(LeftOut { entries: [(kind.to_owned(), 1)].into(), bytes: 1, sha256: String::new() });
        let (mut was, mut now) = (evidence(), evidence());
        (was.candidate.params, now.candidate.params) = (params(&["a", "c", "e"]), params(&["a", "b", "c", "e", "f"]));
        assert_eq!(texts(&was.differences(&now)), ["param b: none -> 1", "param f: none -> 1"]);
        was.left_out = lacks("candidate.params");
        assert_eq!(texts(&was.differences(&now)), ["param b: none -> 1"], "f may be among what was left out");
        now.candidate.params = params(&["a", "b"]);
        now.left_out = lacks("candidate.params");
        assert_eq!(texts(&was.differences(&now)), ["param b: none -> 1"], "c and e may be among what is left out now");
        now.left_out = lacks("candidate.tags");
        assert_eq!(texts(&was.differences(&now)), ["param c: 1 -> none", "param e: 1 -> none", "param b: none -> 1"]);
    }

    #[test]
    fn a_salted_digest_cannot_be_guessed_and_the_same_record_is_kept_once() {
        let kept = |record: Evidence, key: u8| record.keep(&[key; 32]).unwrap();
        let first = kept(evidence(), 1);
        assert_eq!(first.digest, kept(evidence(), 1).digest);
        assert_ne!(first.digest, kept(evidence(), 2).digest);
        assert_ne!(first.digest, Evidence::digest(&evidence().to_json().unwrap()));
        let again: Evidence = serde_json::from_str(&first.text).unwrap();
        assert_eq!((again.salt.len(), Evidence::digest(&first.text)), (32, first.digest.clone()));
        assert_eq!(kept(again, 1).digest, first.digest, "a salt is not salted");
        assert_eq!(first.runs, EvidenceRuns { candidate: Some("r".into()), holder: None });
    }

    #[test]
    fn the_digest_never_changes_its_meaning() {
        // Stored digests have to be found again by every later release: a new form takes a new tag. This
        // one was computed by another program, from the words above alone.
        assert_eq!(Evidence::digest(&evidence().to_json().unwrap()), "e31da336c8bd18220f75121ca4a1e45c389adf3c555bdccd4ca1e274988b1f94");
    }

    #[test]
    fn a_new_name_voids_and_long_values_are_cut() {
        let mut now = evidence();
        now.candidate.name = "renamed".into();
        let found = evidence().differences(&now);
        assert_eq!((texts(&found), found[0].decides), (vec!["the model's name: enet -> renamed"], true));
        let mut now = evidence();
        now.candidate.tags.insert("long".into(), "ü".repeat(8_000));
        assert_eq!(texts(&evidence().differences(&now)), [format!("tag long: none -> {}…", "ü".repeat(100))]);
    }

    #[test]
    fn the_holders_changes_are_told_as_its_own() {
        let mut was = evidence();
        was.holder = Some(EvidenceVersion { version: 1, ..was.candidate.clone() });
        let mut now = was.clone();
        now.holder.as_mut().unwrap().params.clear();
        assert_eq!(texts(&was.differences(&now)), ["the holder's param alpha: 0.01 -> none"]);
        now.holder = None;
        assert_eq!(texts(&was.differences(&now)), ["the holder: version 1 of enet (m) -> none"]);
    }

    #[test]
    fn differences_are_said_in_words() {
        let mut now = evidence();
        now.candidate.metrics.get_mut("rmse").unwrap().stored = metric_value::encode(0.7);
        now.candidate.tags.insert("checked".into(), "yes".into());
        now.candidate.params.remove("alpha");
        now.gate_version = 2;
        assert_eq!(
            texts(&evidence().differences(&now)),
            ["metric rmse: 0.71 -> 0.7", "param alpha: 0.01 -> none", "tag checked: none -> yes", "the gate: g version 1 -> g version 2"]
        );
        assert!(evidence().differences(&evidence()).is_empty());
    }

    #[test]
    fn what_a_record_cannot_hold_is_counted_and_hashed() {
        let mut room = Room::default();
        let value = "v".repeat(RECORD_BYTES as usize / 2 - 2);
        assert!(room.holds("candidate.params", "a", &value) && room.holds("candidate.params", "b", &value));
        assert!(!room.holds("candidate.params", "c", "xx"));
        assert!(!room.holds("candidate.params", "", ""), "what follows is left out, too");
        assert!(room.holds("holder.params", "", "v"), "another kind still fits");
        let left = room.left_out().unwrap();
        assert_eq!((left.bytes, left.entries["candidate.params"], left.entries.len()), (3, 2, 1));
        let mut other = Room { left: 0, ..Room::default() };
        assert!(!other.holds("candidate.params", "c", "y"));
        assert_ne!(other.left_out().unwrap().sha256, left.sha256);
        assert_eq!(Room::default().left_out(), None);
    }
}
