//! Persons behind what is done: whose login acts, who made its token, and who made the login or set its password.
//! Four eyes ask whether the same person stands on both sides.

/// What somebody did to get hold of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Made the login.
    Login,
    /// Set its password.
    Password,
    /// Made the token that it acts with.
    Token,
}

impl Deed {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Password => "PASSWORD",
            Self::Token => "TOKEN",
        }
    }

    /// The deed of a stored text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Login, Self::Password, Self::Token].into_iter().find(|deed| deed.as_str() == text)
    }

    /// Done to the one who is spoken to.
    fn to_you(self) -> &'static str {
        match self {
            Self::Login => "made your login",
            Self::Password => "set your password",
            Self::Token => "made the token that you use",
        }
    }

    /// Done to somebody else.
    fn to(self, whom: &str) -> String {
        match self {
            Self::Login => format!("made the login of {whom}"),
            Self::Password => format!("set the password of {whom}"),
            Self::Token => format!("made the token of {whom}"),
        }
    }
}

/// A login or service account, by its immutable id and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Empty for the command line.
    pub uid: String,
    /// Empty for the command line.
    pub name: String,
}

/// Somebody who made a login, set its password or made its token, or stood behind the one who did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// Empty for the command line, where nobody can be named.
    pub person: String,
    /// With which login.
    pub login: Login,
    /// What was done.
    pub deed: Deed,
    /// Another login that did it, behind which this maker stood then.
    pub through: Option<Login>,
}

impl Maker {
    /// The command line, beside the database.
    pub fn command_line(deed: Deed) -> Self {
        Self { person: String::new(), login: Login::default(), deed, through: None }
    }

    /// How a maker is called.
    pub fn shown(&self) -> &str {
        if self.login.name.is_empty() { "the command line" } else { &self.login.name }
    }
}

/// Who acts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// The person whose login or service account acts.
    pub person: String,
    /// The login's name.
    pub name: String,
    /// The person who made the token, when it is another.
    pub issuer: Option<String>,
    /// All who made the login, set its password or made the token, and those behind them.
    pub makers: Vec<Maker>,
}

impl Actor {
    /// The maker who is this person.
    fn made_by(&self, person: &str) -> Option<&Maker> {
        self.makers.iter().find(|maker| !person.is_empty() && maker.person == person)
    }
}

/// What binds the one who is spoken to (`you`) to somebody else, who did something (`did`: "requested it"): the same
/// person, or one of them made the login or the token of the other. Without `common_maker` a third who made both
/// binds them, too. None when nothing does.
pub fn tie(you: &Actor, other: &Actor, did: &str, common_maker: bool) -> Option<String> {
    let they = if other.name.is_empty() { "somebody else" } else { &other.name };
    let them = format!("{they}, who {did}");
    if you.person == other.person {
        return Some(if you.name == other.name { format!("you {did}") } else { format!("you {did} as {they}") });
    }
    if other.issuer.as_ref() == Some(&you.person) {
        return Some(format!("you made the token with which {they} {did}"));
    }
    if you.issuer.as_ref() == Some(&other.person) {
        return Some(format!("{them}, made the token that you use"));
    }
    if you.issuer.is_some() && you.issuer == other.issuer {
        return Some(format!("the same person made the token that you use and the one with which {they} {did}"));
    }
    if let Some(maker) = other.made_by(&you.person) {
        return Some(match &maker.through {
            Some(through) => format!("you stand behind {}, who {}", through.name, maker.deed.to(&them)),
            None => format!("you {}", maker.deed.to(&them)),
        });
    }
    if let Some(maker) = you.made_by(&other.person) {
        return Some(format!("{them}, {}", to_you(maker)));
    }
    if let Some(maker) = you.issuer.as_ref().and_then(|issuer| other.made_by(issuer)) {
        return Some(format!("{}, who made the token that you use, stands behind {them}", maker.shown()));
    }
    if let Some(maker) = other.issuer.as_ref().and_then(|issuer| you.made_by(issuer)) {
        return Some(format!("{}, who made the token with which {they} {did}, {}", maker.shown(), to_you(maker)));
    }
    if common_maker {
        return None;
    }
    let common = you.makers.iter().find(|maker| other.makers.iter().any(|theirs| theirs.person == maker.person))?;
    Some(format!("your login and that of {them}, go back to the same maker, {}, which is refused here", common.shown()))
}

fn to_you(maker: &Maker) -> String {
    match &maker.through {
        Some(through) => format!("stands behind {}, who {}", through.name, maker.deed.to_you()),
        None => maker.deed.to_you().to_owned(),
    }
}

/// Who stands behind what a login does to another person's: itself, and all with a name who stand behind it. That the
/// command line made one login says nothing of the logins which that one makes.
pub fn makers_of(deed: Deed, by: &Login, actor: &Actor, of_person: &str) -> Vec<Maker> {
    let mut makers = Vec::new();
    if actor.person != of_person {
        makers.push(Maker { person: actor.person.clone(), login: by.clone(), deed, through: None });
    }
    for behind in &actor.makers {
        let known = makers.iter().any(|maker| maker.person == behind.person);
        if !known && !behind.person.is_empty() && behind.person != of_person {
            makers.push(Maker { person: behind.person.clone(), login: behind.login.clone(), deed, through: Some(by.clone()) });
        }
    }
    makers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str) -> Login {
        Login { uid: name.to_owned(), name: name.to_owned() }
    }

    fn maker(name: &str, deed: Deed, through: Option<&str>) -> Maker {
        Maker { person: name.to_owned(), login: login(name), deed, through: through.map(login) }
    }

    fn actor(name: &str, issuer: Option<&str>, makers: Vec<Maker>) -> Actor {
        Actor { person: name.to_owned(), name: name.to_owned(), issuer: issuer.map(str::to_owned), makers }
    }

    #[test]
    fn each_tie_is_told_as_what_it_is() {
        let ann = |makers| actor("ann", None, makers);
        let bob = |makers| actor("bob", None, makers);
        let told = |you: &Actor, other: &Actor| tie(you, other, "requested it", true);
        assert_eq!(told(&ann(vec![]), &bob(vec![])), None);
        let twin = Actor { name: "ann-2".to_owned(), ..ann(vec![]) };
        for (you, other, words) in [
            (ann(vec![]), ann(vec![]), "you requested it"),
            (ann(vec![]), twin, "you requested it as ann-2"),
            (ann(vec![]), actor("bob", Some("ann"), vec![]), "you made the token with which bob requested it"),
            (actor("ann", Some("bob"), vec![]), bob(vec![]), "bob, who requested it, made the token that you use"),
            (
                actor("ann", Some("cyd"), vec![]),
                actor("bob", Some("cyd"), vec![]),
                "the same person made the token that you use and the one with which bob requested it",
            ),
            (ann(vec![]), bob(vec![maker("ann", Deed::Login, None)]), "you made the login of bob, who requested it"),
            (
                ann(vec![]),
                bob(vec![maker("ann", Deed::Password, Some("cyd"))]),
                "you stand behind cyd, who set the password of bob, who requested it",
            ),
            (ann(vec![maker("bob", Deed::Password, None)]), bob(vec![]), "bob, who requested it, set your password"),
            (
                ann(vec![maker("bob", Deed::Login, Some("cyd"))]),
                bob(vec![]),
                "bob, who requested it, stands behind cyd, who made your login",
            ),
            (
                actor("ann", Some("cyd"), vec![]),
                bob(vec![maker("cyd", Deed::Login, None)]),
                "cyd, who made the token that you use, stands behind bob, who requested it",
            ),
            (
                ann(vec![maker("cyd", Deed::Login, None)]),
                actor("bob", Some("cyd"), vec![]),
                "cyd, who made the token with which bob requested it, made your login",
            ),
        ] {
            assert_eq!(told(&you, &other).as_deref(), Some(words));
        }
    }

    #[test]
    fn a_common_maker_binds_only_where_it_is_refused() {
        let ann = actor("ann", None, vec![maker("root", Deed::Login, None)]);
        let bob = actor("bob", None, vec![maker("root", Deed::Password, Some("cyd"))]);
        assert_eq!(tie(&ann, &bob, "requested it", true), None);
        let told = tie(&ann, &bob, "requested it", false).expect("is refused");
        assert_eq!(told, "your login and that of bob, who requested it, go back to the same maker, root, which is refused here");
        let cyd = actor("cyd", None, vec![Maker::command_line(Deed::Login)]);
        let dan = actor("dan", None, vec![Maker::command_line(Deed::Token)]);
        assert!(tie(&cyd, &dan, "requested it", false).is_some_and(|told| told.contains("the command line")));
        assert_eq!(tie(&cyd, &dan, "requested it", true), None);
        assert_eq!(tie(&ann, &cyd, "requested it", false), None);
    }

    #[test]
    fn who_stands_behind_the_maker_is_a_maker_as_well() {
        let puppet = actor("puppet", None, vec![maker("root", Deed::Login, None)]);
        let makers = makers_of(Deed::Password, &login("puppet"), &puppet, "max");
        assert_eq!(makers, [maker("puppet", Deed::Password, None), maker("root", Deed::Password, Some("puppet"))]);
        assert_eq!(makers_of(Deed::Password, &login("puppet"), &puppet, "puppet"), [maker("root", Deed::Password, Some("puppet"))]);
        assert_eq!(makers_of(Deed::Login, &login("puppet"), &puppet, "root").len(), 1, "nobody is their own maker");
    }
}
