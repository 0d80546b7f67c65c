//! Cosignatures of witnesses on checkpoints (C2SP tlog-cosignature, `cosignature/v1`, Ed25519).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::{Note, NoteError, VerifierList, is_key_name_valid, key_id};

use super::CheckpointError;

/// The algorithm byte of cosignatures; keys of witnesses are also written with that of plain Ed25519.
const COSIGNATURE: u8 = 4;
const ED25519: u8 = 1;

/// The public key of a witness.
#[derive(Debug, Clone)]
pub struct Cosigner {
    name: String,
    id: u32,
    public: VerifyingKey,
}

impl Cosigner {
    /// Reads a verifier key (`NAME+KEYID+BASE64`).
    pub fn parse(verifier_key: &str) -> Result<Self, CheckpointError> {
        let mut parts = verifier_key.splitn(3, '+');
        let (Some(name), Some(given), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else { return Err(CheckpointError::Key) };
        let bytes = STANDARD.decode(encoded).map_err(|_| CheckpointError::Key)?;
        let Some((&(COSIGNATURE | ED25519), public)) = bytes.split_first() else { return Err(CheckpointError::Key) };
        let raw: &[u8; 32] = public.try_into().map_err(|_| CheckpointError::Key)?;
        if !is_key_name_valid(name) || u32::from_str_radix(given, 16).ok() != Some(key_id(name, &bytes)) {
            return Err(CheckpointError::Key);
        }
        let public = VerifyingKey::from_bytes(raw).map_err(|_| CheckpointError::Key)?;
        let id = key_id(name, &[&[COSIGNATURE], raw.as_slice()].concat());
        Ok(Self { name: name.to_owned(), id, public })
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and key, as one text.
    pub fn identity(&self) -> String {
        format!("{}+{:08x}", self.name, self.id)
    }

    /// The line of this witness's cosignature on a note; none when it has none. Errors when it is wrong, or the note is
    /// malformed.
    pub fn cosigned(&self, note: &str) -> Result<Option<String>, CheckpointError> {
        let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        match parsed.verify(&VerifierList::new(vec![Box::new(self.clone())])) {
            Ok((good, _)) => Ok(good.first().map(|line| String::from_utf8_lossy(&line.to_bytes()).into_owned())),
            Err(NoteError::UnverifiedNote) => Ok(None),
            Err(_) => Err(CheckpointError::Signature),
        }
    }
}

impl signed_note::Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        let head = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time));
        self.public.verify_strict(&[head.as_bytes(), text].concat(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, whose key is not published: a key of ours over its text.
    #[test]
    fn a_cosignature_is_of_its_witness_and_note() {
        use ed25519_dalek::{Signer, SigningKey};
        let key = SigningKey::from_bytes(&[9; 32]);
        let vkey = |kind: u8| {
            let bytes = [&[kind], key.verifying_key().as_bytes().as_slice()].concat();
            format!("witness.example.com/w1+{:08x}+{}", key_id("witness.example.com/w1", &bytes), STANDARD.encode(&bytes))
        };
        let witness = Cosigner::parse(&vkey(4)).unwrap();
        assert_eq!(Cosigner::parse(&vkey(1)).unwrap().identity(), witness.identity(), "both spellings are one witness");
        assert!(Cosigner::parse("witness+00000000+AAAA").is_err() && Cosigner::parse(&vkey(6)).is_err());

        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let signature = key.sign(format!("cosignature/v1\ntime 1679315147\n{text}").as_bytes());
        let blob = [&witness.id.to_be_bytes(), 1_679_315_147_u64.to_be_bytes().as_slice(), &signature.to_bytes()].concat();
        let line = format!("— witness.example.com/w1 {}\n", STANDARD.encode(blob));
        assert_eq!(witness.cosigned(&format!("{text}\n{line}")), Ok(Some(line.clone())));
        let other = text.replace("20852163", "20852164");
        assert_eq!(witness.cosigned(&format!("{other}\n{line}")), Err(CheckpointError::Signature));
        let stranger =
            "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        assert_eq!(witness.cosigned(&format!("{text}\n{stranger}")), Ok(None));
    }
}
