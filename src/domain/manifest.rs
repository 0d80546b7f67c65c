//! A version's manifest: its files by path. Its digest is what stands for the version's bytes.

use sha2::{Digest, Sha256};

const TAG: &str = "stagegate manifest v1";

/// SHA-256 over the files in the order of their paths, each as length-prefixed path, size and SHA-256, in
/// hexadecimal.
pub fn digest(files: &[(String, i64, String)]) -> String {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort();
    let mut digest = Sha256::new().chain_update(TAG);
    for (path, size, sha256) in sorted {
        digest.update((path.len() as u64).to_be_bytes());
        digest.update(path);
        digest.update(size.to_be_bytes());
        digest.update((sha256.len() as u64).to_be_bytes());
        digest.update(sha256);
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn the_digest_depends_on_files_and_not_on_their_order() {
        let a = ("a".to_owned(), 1, "aa".to_owned());
        let b = ("b".to_owned(), 2, "bb".to_owned());
        let both = digest(&[a.clone(), b.clone()]);
        assert_eq!(digest(&[b.clone(), a.clone()]), both);
        assert_ne!(digest(&[a.clone()]), both);
        assert_ne!(digest(&[("ab".to_owned(), 1, "aa".to_owned()), b]), both);
        assert_ne!(digest(&[(a.0, 2, a.2)]), digest(&[("a".to_owned(), 1, "aa".to_owned())]));
    }
}
