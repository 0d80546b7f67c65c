//! Cosignatures of witnesses (C2SP tlog-witness): each gets the newest checkpoint with the proof that it continues the
//! one that it cosigned last.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::Method;
use url::Url;

use super::outgoing::{Answer, Recipient, request};
use crate::domain::ledger::{self, Cosigner, Hashes};
use crate::store::ledger_feed::Signed;
use crate::store::{Recorded, Store, ledger as rows, ledger_cosignatures as cosignatures};

/// A witness that is asked.
pub struct Witness {
    store: Store,
    cosigner: Cosigner,
    url: Url,
    /// How many rows it cosigned last, as far as known.
    old: Option<u64>,
}

impl Witness {
    /// A witness whose `add-checkpoint` stands under a URL.
    pub fn new(store: Store, cosigner: Cosigner, url: Url) -> Self {
        Self { store, cosigner, url, old: None }
    }

    async fn ask(&mut self, signed: &Signed) -> Result<(), String> {
        let mut old = match self.old {
            Some(old) => old,
            None => cosignatures::newest_of(self.store.reader(), &self.cosigner.identity()).await.map_err(text)?,
        };
        // Once more when the witness knows better where it stands.
        for _ in 0..2 {
            if old > signed.size {
                return Ok(());
            }
            let answer = self.add_checkpoint(old, signed).await?;
            match answer.status {
                200 => return self.keep(signed, &answer.text).await,
                409 => old = self.conflict(old, signed, &answer).await?,
                status => return Err(format!("it answered {status}: {}", answer.text.chars().take(200).collect::<String>())),
            }
        }
        Err("it does not say where it stands".to_owned())
    }

    async fn add_checkpoint(&self, old: u64, signed: &Signed) -> Result<Answer, String> {
        let mut body = format!("old {old}\n");
        if old > 0 && old < signed.size {
            let proof = ledger::consistency(old, signed.size);
            let stored = Hashes(rows::stored_hashes(self.store.reader(), &proof.needs).await.map_err(text)?);
            for hash in proof.run(&stored).map_err(text)? {
                // Writing into a text cannot fail.
                let _ = writeln!(body, "{}", STANDARD.encode(hash.0));
            }
        }
        let mut url = self.url.clone();
        url.set_path(&format!("{}/add-checkpoint", url.path().trim_end_matches('/')));
        request(Method::POST, url, format!("{body}\n{}", signed.note)).await
    }

    /// The size that the witness stands at, when it is another one.
    async fn conflict(&mut self, old: u64, signed: &Signed, answer: &Answer) -> Result<u64, String> {
        let stands: u64 = answer.text.trim().parse().map_err(|_| "its conflict names no size".to_owned())?;
        let newest = rows::newest_checkpoint(self.store.reader()).await.map_err(text)?.map_or(0, |(size, _)| size);
        if stands > newest || stands == old {
            tracing::error!(
                witness = self.cosigner.name(),
                stands,
                size = signed.size,
                "ALARM: the witness cosigned another ledger than this one: it was cut or rewritten"
            );
            return Err(format!("it cosigned another ledger of {stands} rows"));
        }
        self.old = Some(stands);
        Ok(stands)
    }

    async fn keep(&mut self, signed: &Signed, lines: &str) -> Result<(), String> {
        let line = self.cosigner.cosigned(&format!("{}{lines}", signed.note)).map_err(|_| "its cosignature is wrong".to_owned())?;
        let line = line.ok_or("its answer holds no cosignature of its key")?;
        let row = (signed.size, self.cosigner.identity(), line);
        let kept = self.store.write(row, |tx, (size, witness, line)| {
            Box::pin(async move { cosignatures::insert(tx, *size, witness, line).await.map(Recorded::outside_ledger) })
        });
        kept.await.map_err(text)?;
        self.old = Some(signed.size);
        Ok(())
    }
}

impl Recipient for Witness {
    fn name(&self) -> String {
        self.cosigner.name().to_owned()
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn send(&mut self, signed: Arc<Signed>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.ask(&signed).await })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
