//! Digests of the MiBs of a blob. With them a part of a file is compared before it is given, without reading the rest.

use sha2::{Digest, Sha256};

/// Bytes over which one digest goes; the last one of a blob goes over what is left.
pub const CHUNK_BYTES: u64 = 1024 * 1024;
/// Bytes of one digest.
pub const DIGEST_BYTES: usize = 32;

/// Makes the digests of bytes as they pass.
#[derive(Default)]
pub struct Chunks {
    digests: Vec<u8>,
    hash: Sha256,
    /// Bytes in `hash`.
    filled: u64,
}

impl Chunks {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(CHUNK_BYTES - self.filled).unwrap_or(usize::MAX);
            let (now, then) = bytes.split_at(room.min(bytes.len()));
            self.hash.update(now);
            self.filled += now.len() as u64;
            bytes = then;
            if self.filled == CHUNK_BYTES {
                self.end();
            }
        }
    }

    /// The digests of all bytes, one after the other.
    pub fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.end();
        }
        self.digests
    }

    fn end(&mut self) {
        self.digests.extend_from_slice(&self.hash.finalize_reset());
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_over_each_mib_however_the_bytes_come() {
        let mib = usize::try_from(CHUNK_BYTES).unwrap();
        for size in [0, 1, mib - 1, mib, mib + 1, 3 * mib, 3 * mib + 5] {
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let expected: Vec<u8> = bytes.chunks(mib).flat_map(Sha256::digest).collect();
            for step in [777_777, mib, 2 * mib + 1] {
                let mut chunks = Chunks::default();
                bytes.chunks(step).for_each(|piece| chunks.update(piece));
                assert!(chunks.finish() == expected, "{size} by {step}");
            }
        }
    }
}
