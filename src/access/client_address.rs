//! The network address of a caller: the ledger and the log have it whole, and guessing is slowed by its network.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where a call comes from. A call of the command line or of the server itself comes from nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// No address: the command line, or the server itself.
    pub const NONE: Self = Self(None);

    /// The far end of a connection, or whom a trusted proxy names.
    pub fn of(address: IpAddr) -> Self {
        Self(Some(address.to_canonical()))
    }

    /// What callers are told apart by. Of IPv6 the first half: who has one address there has all of its network.
    pub fn network(self) -> String {
        match self.0 {
            None => String::new(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                format!("{}/64", Ipv6Addr::from_bits(network))
            }
        }
    }
}

/// The whole address, or nothing.
impl fmt::Display for ClientAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(address) => address.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_by_the_networks_that_they_are_given() {
        let network = |text: &str| ClientAddress::of(text.parse().unwrap()).network();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn an_address_is_shown_whole() {
        assert_eq!(ClientAddress::of("2001:db8:1:2:3:4:5:6".parse().unwrap()).to_string(), "2001:db8:1:2:3:4:5:6");
        assert_eq!(ClientAddress::of("::ffff:192.0.2.7".parse().unwrap()).to_string(), "192.0.2.7");
        assert_eq!(ClientAddress::NONE.to_string(), "");
    }
}
