//! The life of a promotion request as a state machine. What is decided here holds in the database as
//! well, by constraints and triggers; here it gets its words.

use super::person::tie;

pub use super::person::Actor;

/// Where a request stands. All but `Open` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for decisions.
    Open,
    /// The quorum was met and the version took the target.
    Approved,
    /// Someone who may approve said no.
    Rejected,
    /// The last requester withdrew.
    Cancelled,
    /// Its time ran out.
    Expired,
    /// Another version took the target.
    Superseded,
}

impl State {
    /// As the database and MLflow's JSON spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
            Self::Superseded => "SUPERSEDED",
        }
    }

    /// The state of a stored text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Approved, Self::Rejected, Self::Cancelled, Self::Expired, Self::Superseded]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// An approval that counts for the evidence as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who approved.
    pub by: Actor,
    /// The evidence that they saw.
    pub evidence_digest: String,
}

/// What the rules need to know of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where it stands.
    pub state: State,
    /// Those who ask for it now; those who withdrew are not among them.
    pub requesters: Vec<Actor>,
    /// All who ever asked for it: withdrawing does not make an approver of a requester.
    pub ever_requested: Vec<Actor>,
    /// The approvals that count.
    pub approvals: Vec<Approval>,
    /// What an approval must refer to.
    pub evidence_digest: String,
    /// How many persons must approve.
    pub approvals_required: usize,
    /// Whether those who ask and those who approve may have logins that the same third person made.
    pub common_maker_allowed: bool,
    /// Unix milliseconds from which on it has expired.
    pub expires_at: Option<i64>,
}

/// Why a request refuses an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has ended.
    #[error("the request is not open: it is {}", .0.as_str())]
    NotOpen(State),
    /// Its time has run out.
    #[error("the request has expired")]
    Expired,
    /// Four eyes: what binds the one who decides to one who asked.
    #[error("{0}: someone else must approve or reject it (four eyes)")]
    OwnRequest(String),
    /// What binds the one who approves or asks to one who has approved.
    #[error("{0}: one person stands behind both, and counts once (four eyes)")]
    BoundToApprover(String),
    /// One person counts once.
    #[error("you have approved the request already, and one person counts once")]
    ApprovedTwice,
    /// The approver looked at something else.
    #[error(
        "the evidence is not what was seen: its digest is {expected}, the approval names {seen}; look again and approve what is there now"
    )]
    StaleEvidence {
        /// The digest now.
        expected: String,
        /// The digest given.
        seen: String,
    },
    /// Joined or filed before.
    #[error("you have asked for this already, and one person asks once")]
    AlreadyRequester,
    /// Asking again must not hide who asked before, and through whom.
    #[error("this person asked before and withdrew, and can ask again only as before: not through a token that someone else made")]
    AskedOtherwise,
    /// Approvers stay approvers.
    #[error("this person has approved the request and cannot join it")]
    HasApproved,
    /// Only requesters withdraw.
    #[error("only a requester can withdraw from the request")]
    NotRequester,
}

/// What an approval led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// More approvals are needed.
    StillOpen,
    /// The quorum is met: the version takes the target now.
    Promote,
}

impl Request {
    fn open_at(&self, now: i64) -> Result<(), Refusal> {
        match self.state {
            State::Open if self.expires_at.is_some_and(|at| now >= at) => Err(Refusal::Expired),
            State::Open => Ok(()),
            ended => Err(Refusal::NotOpen(ended)),
        }
    }

    /// A further person asks for it.
    pub fn join(&mut self, by: Actor, now: i64) -> Result<(), Refusal> {
        self.open_at(now)?;
        if self.requesters.iter().any(|requester| requester.person == by.person) {
            return Err(Refusal::AlreadyRequester);
        }
        // Of each person the first way to ask is kept; four eyes must see all who ever stood behind it.
        if by.issuer.is_some() && self.ever_requested.iter().any(|asked| asked.person == by.person && asked.issuer != by.issuer) {
            return Err(Refusal::AskedOtherwise);
        }
        if self.approvals.iter().any(|approval| approval.by.person == by.person) {
            return Err(Refusal::HasApproved);
        }
        self.apart_from_approvers(&by)?;
        self.ever_requested.push(by.clone());
        self.requesters.push(by);
        Ok(())
    }

    /// A requester withdraws; the last one cancels the request.
    pub fn withdraw(&mut self, by: &Actor, now: i64) -> Result<(), Refusal> {
        self.open_at(now)?;
        let at = self.requesters.iter().position(|requester| requester.person == by.person);
        self.requesters.remove(at.ok_or(Refusal::NotRequester)?);
        if self.requesters.is_empty() {
            self.state = State::Cancelled;
        }
        Ok(())
    }

    /// Someone approves what they saw. Who has approved may do so again when the quorum is met without another: that of
    /// the approvals some did not count for a while.
    pub fn approve(&mut self, by: Actor, seen_digest: &str, now: i64) -> Result<Outcome, Refusal> {
        self.open_at(now)?;
        self.four_eyes(&by, self.common_maker_allowed)?;
        let again = self.has_approved(&by.person);
        if again && self.approvals.len() < self.approvals_required {
            return Err(Refusal::ApprovedTwice);
        }
        if !again {
            self.apart_from_approvers(&by)?;
        }
        if seen_digest != self.evidence_digest {
            return Err(Refusal::StaleEvidence { expected: self.evidence_digest.clone(), seen: seen_digest.to_owned() });
        }
        if !again {
            self.approvals.push(Approval { by, evidence_digest: seen_digest.to_owned() });
        }
        if self.approvals.len() >= self.approvals_required {
            self.state = State::Approved;
            return Ok(Outcome::Promote);
        }
        Ok(Outcome::StillOpen)
    }

    /// Whether an approval of a person counts.
    pub fn has_approved(&self, person: &str) -> bool {
        self.approvals.iter().any(|approval| approval.by.person == person)
    }

    /// Someone who may decide says no, and takes back an approval of their own. Requesters withdraw instead.
    pub fn reject(&mut self, by: &Actor, now: i64) -> Result<(), Refusal> {
        self.open_at(now)?;
        // A rejection promotes nothing: a common maker does not matter.
        self.four_eyes(by, true)?;
        self.approvals.retain(|approval| approval.by.person != by.person);
        self.state = State::Rejected;
        Ok(())
    }

    /// Its time is up: it ends, if it has one and is open. Says whether it ended now.
    pub fn expire(&mut self, now: i64) -> bool {
        let due = self.open_at(now) == Err(Refusal::Expired);
        if due {
            self.state = State::Expired;
        }
        due
    }

    /// Another version took the target. An open request ends, be its time up or not. Says whether it ended now.
    pub fn supersede(&mut self) -> bool {
        let open = self.state == State::Open;
        if open {
            self.state = State::Superseded;
        }
        open
    }

    /// The evidence has changed: earlier approvals no longer count.
    pub fn renew_evidence(&mut self, digest: String) {
        if self.state == State::Open && digest != self.evidence_digest {
            self.evidence_digest = digest;
            self.approvals.clear();
        }
    }

    fn four_eyes(&self, by: &Actor, common_maker: bool) -> Result<(), Refusal> {
        let ties = |requester| tie(by, requester, "requested it", common_maker);
        self.ever_requested.iter().find_map(ties).map_or(Ok(()), |tied| Err(Refusal::OwnRequest(tied)))
    }

    fn apart_from_approvers(&self, by: &Actor) -> Result<(), Refusal> {
        let ties = |approval: &Approval| tie(by, &approval.by, "approved it", self.common_maker_allowed);
        self.approvals.iter().find_map(ties).map_or(Ok(()), |tied| Err(Refusal::BoundToApprover(tied)))
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
