//! The names by which this server may be called. A page that was loaded from a stranger's name keeps that
//! name when the stranger lets it point here (DNS rebinding), so requests to other names are refused.

use std::net::{IpAddr, Ipv4Addr};

use http::uri::Authority;

/// Which hosts requests may name.
#[derive(Debug, Clone)]
pub struct Hosts {
    listen: IpAddr,
    listed: Vec<Listed>,
}

/// One entry of the list: `*`, a host, or `*.` and a domain; each but the first with a port or without.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    host: String,
    port: Option<u16>,
}

impl Hosts {
    /// The hosts of a server that listens on an address, with those that its configuration lists. Errors
    /// give the entry that is none.
    pub fn new(listen: IpAddr, listed: &[String]) -> Result<Self, String> {
        let given = listed.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        let listed = given.map(|entry| Listed::parse(entry).ok_or_else(|| entry.to_owned())).collect::<Result<_, _>>()?;
        Ok(Self { listen: listen.to_canonical(), listed })
    }

    /// Whether a request may name this host: it is listed, it is a name of this machine or an address of a
    /// private network, or it is the address on which the server listens.
    pub fn allow(&self, authority: &str) -> bool {
        let Some(asked) = Listed::of(authority) else { return false };
        asked.host == "localhost"
            || asked.host.ends_with(".localhost")
            || address(&asked.host).is_some_and(|address| address == self.listen || is_private(address))
            || self.listed.iter().any(|listed| listed.host == "*" || listed.covers(&asked))
    }

    /// Whether the configuration lists this host by name, so that it is certainly this server's own.
    pub fn lists(&self, authority: &str) -> bool {
        Listed::of(authority).is_some_and(|asked| self.listed.iter().any(|listed| listed.covers(&asked)))
    }
}

impl Listed {
    /// An entry of the configuration.
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { host: "*".to_owned(), port: None });
        }
        let plain = entry.strip_prefix("*.").unwrap_or(entry);
        let parsed = Self::of(plain).filter(|parsed| !parsed.host.contains('*'))?;
        let star = if plain.len() < entry.len() { "*." } else { "" };
        Some(Self { host: format!("{star}{}", parsed.host), port: parsed.port })
    }

    /// The host and port that a request names.
    fn of(authority: &str) -> Option<Self> {
        let parsed: Authority = authority.parse().ok()?;
        let bare = parsed.host().len() + parsed.port().map_or(0, |port| port.as_str().len() + 1);
        // Neither `user@host` nor a port that is no number.
        (bare == authority.len() && !parsed.host().is_empty() && parsed.port().is_none_or(|port| port.as_str().parse::<u16>().is_ok()))
            .then(|| Self { host: parsed.host().to_ascii_lowercase(), port: parsed.port_u16() })
    }

    fn covers(&self, asked: &Self) -> bool {
        let host = match self.host.strip_prefix('*') {
            Some(domain) => !domain.is_empty() && asked.host.len() > domain.len() && asked.host.ends_with(domain),
            None => asked.host == self.host,
        };
        host && (self.port.is_none() || self.port == asked.port)
    }
}

/// The address that a host is, in the one spelling of each family.
fn address(host: &str) -> Option<IpAddr> {
    let plain = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    plain.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// 100.64.0.0/10 (RFC 6598), from which clusters give their pods addresses, and probes call them by these.
fn is_shared(address: Ipv4Addr) -> bool {
    address.octets()[0] == 100 && address.octets()[1] & 0xC0 == 64
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared(v4),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listed: &[&str]) -> Hosts {
        let listed: Vec<String> = listed.iter().map(|entry| (*entry).to_owned()).collect();
        Hosts::new("203.0.113.9".parse().unwrap(), &listed).unwrap()
    }

    #[test]
    fn by_default_names_of_this_machine_and_private_addresses() {
        let hosts = hosts(&[]);
        for own in ["localhost", "LOCALHOST:5000", "a.localhost", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "10.1.2.3", "172.31.0.1:80"]
        {
            assert!(hosts.allow(own), "{own}");
        }
        for own in ["192.168.1.1", "[fd00::1]", "[::ffff:10.0.0.1]", "203.0.113.9:5000", "169.254.1.1", "100.64.0.1:80", "100.127.255.255"]
        {
            assert!(hosts.allow(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example@localhost",
            "8.8.8.8",
            "0x7f.1",
            "2130706433",
            "localhost:99999",
            "localhost:5000:5000",
            "localhost:",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "[::ffff:8.8.8.8]",
            "localhost.",
            "local host",
            "localhost/",
            "203.0.113.90",
        ] {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn listed_names_match_as_a_whole() {
        let hosts = hosts(&["track.example.com", "", " *.corp.example:8443 "]);
        assert!(hosts.allow("Track.Example.com:5000") && hosts.allow("a.b.corp.example:8443"));
        for foreign in ["xtrack.example.com", "track.example.com.evil.example", "corp.example:8443", "a.corp.example", "acorp.example:8443"]
        {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
        assert!(hosts.lists("track.example.com") && !hosts.lists("localhost"));
    }

    #[test]
    fn a_star_allows_all_hosts_and_makes_none_of_them_ours() {
        let hosts = hosts(&["*"]);
        assert!(hosts.allow("evil.example") && !hosts.lists("evil.example"));
        for bad in ["http://a", "a b", "a.*", "**", "*.", "*.*"] {
            assert_eq!(Hosts::new("127.0.0.1".parse().unwrap(), &[bad.to_owned()]).unwrap_err(), bad);
        }
    }
}
