//! The digest of a set of files: what a registered version's bytes are known by.

use sha2::{Digest, Sha256};

/// What a version has in place of a digest whose source lies elsewhere, so that this server has no files of it.
pub const UNVERIFIED: &str = "unverified";

/// Tells this digest from every other; another layout takes another tag.
const TAG: &str = "stagegate.manifest.v1";

/// SHA-256 in hexadecimal over a tag, the number of files and, in the order of the paths' bytes, each
/// file's path, size in bytes and SHA-256. Texts stand after their length; lengths, sizes and the number
/// are 8 bytes, big-endian. The order in which the files are given does not matter.
pub fn digest<P: AsRef<str>, D: AsRef<str>>(files: &[(P, i64, D)]) -> String {
    let mut files: Vec<(&str, i64, &str)> = files.iter().map(|(path, size, sha256)| (path.as_ref(), *size, sha256.as_ref())).collect();
    files.sort_unstable();
    let mut hash = Sha256::new();
    push(&mut hash, TAG);
    hash.update((files.len() as u64).to_be_bytes());
    for (path, size, sha256) in files {
        push(&mut hash, path);
        hash.update(size.to_be_bytes());
        push(&mut hash, sha256);
    }
    hex::encode(hash.finalize())
}

fn push(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_the_given_order_does_not() {
        let files = [("model/MLmodel", 3, "aa"), ("model/model.bin", 5, "bb")];
        let whole = digest(&files);
        assert_eq!(digest(&[files[1], files[0]]), whole);
        let others: [&[(&str, i64, &str)]; 7] = [
            &[("model/MLmodel", 4, "aa"), files[1]],
            &[("model/MLmodeL", 3, "aa"), files[1]],
            &[("model/MLmodel", 3, "ab"), files[1]],
            &files[..1],
            &[],
            // The same bytes, divided differently.
            &[("model/MLmodela", 3, "a"), files[1]],
            &[files[0], files[1], files[1]],
        ];
        for other in others {
            assert_ne!(digest(other), whole, "{other:?}");
        }
    }

    #[test]
    fn the_digest_never_changes_its_meaning() {
        // Computed by another program from the words above alone.
        assert_eq!(digest::<&str, &str>(&[]), "3ec4c1baf2e47ca328d5465f27c8b0cb9f55f95af9d660a0436cc4f9bfa985db");
        assert_eq!(digest(&[("b", 258, "ff"), ("a/ü", 0, "00")]), "4037e77b0a3fe4b347731b8a2bc197ea77d8a456433aa4d08773e97394580a8a");
    }
}
