//! Who holds a target of a model, and who held it before. What is past is kept as one digest.

use sha2::{Digest, Sha256};

use super::things::{self, Fields, fields};

/// The holdings of one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The version that holds it, and since when.
    now: Option<(String, i64)>,
    /// How many holdings ended, the last one when, and a digest over all of them in their order.
    ended: u64,
    last_end: i64,
    digest: [u8; 32],
}

impl Held {
    /// The target goes to another version, or to none. Times of one target never run backwards, even if the clock does.
    pub fn change(&mut self, to: Option<String>, time: i64) {
        if let Some((version, from)) = self.now.take() {
            self.end(&version, from, time.max(from));
        }
        self.now = to.map(|version| (version, time.max(self.last_end)));
    }

    /// A holding as the tables have it; the first first.
    pub fn stored(&mut self, version: String, from: i64, until: Option<i64>) {
        match until {
            Some(until) => self.end(&version, from, until),
            None => self.now = Some((version, from)),
        }
    }

    fn end(&mut self, version: &str, from: i64, until: i64) {
        let line = format!("{version} {from} {until}");
        self.digest = Sha256::new().chain_update(self.digest).chain_update(line).finalize().into();
        self.ended += 1;
        self.last_end = self.last_end.max(until);
    }

    /// What is compared.
    pub fn fields(&self) -> Fields {
        let mut all = fields([(things::ENDED, self.ended.to_string())]);
        if self.ended > 0 {
            all.extend(fields([(things::ENDED_DIGEST, hex::encode(self.digest))]));
        }
        if let Some((version, since)) = &self.now {
            all.extend(fields([(things::VERSION, version.clone()), (things::SINCE, since.to_string())]));
        }
        all
    }
}
