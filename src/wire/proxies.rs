//! Whose word counts for where a request comes from. A proxy in front of the server notes its client's address in
//! `X-Forwarded-For`; anybody else can write such a header as well, so only those of trusted proxies are read. The
//! header `Forwarded` (RFC 7239) is not read: proxies that write it write the other one, too, and two that differ
//! would be a way around both.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::access::ClientAddress;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the trusted proxies.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Reads networks (`10.0.0.0/8`) and single addresses. Gives back the first text that is none, or that holds all
    /// addresses there are: then everybody could claim to be anybody.
    pub fn new(networks: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            let text = text.trim();
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.filter(|network| network.prefix_len() > 0).ok_or_else(|| text.to_owned())
        };
        networks.iter().filter(|text| !text.trim().is_empty()).map(network).collect::<Result<_, _>>().map(Self)
    }

    /// The client of a request that came over a connection from `peer`: the last hop that is no trusted proxy. Where
    /// a proxy names something that is no address, the client is that proxy.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.trust(client) {
            return ClientAddress::of(client);
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
        let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        for hop in hops.into_iter().rev() {
            let Some(address) = address(hop) else { break };
            client = address;
            if !self.trust(client) {
                break;
            }
        }
        ClientAddress::of(client)
    }

    /// Whether an address is one of theirs.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The address of a hop, which some proxies write with its port.
fn address(hop: &str) -> Option<IpAddr> {
    let plain = hop.parse::<IpAddr>().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    plain.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, http::HeaderValue::from_static(line));
        }
        Proxies::new(&trusted).unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_it_forwards() {
        assert_eq!(client(&[], "10.0.0.1", &["203.0.113.5"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.5"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_the_client_wrote_before_the_last_untrusted_hop_does_not_count() {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"];
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1, 203.0.113.5, 10.2.2.2"]), "203.0.113.5");
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1", "203.0.113.5"]), "203.0.113.5", "lines are joined in their order");
        assert_eq!(client(&trusted, "10.0.0.1", &["203.0.113.5:4711"]), "203.0.113.5");
        assert_eq!(client(&trusted, "10.0.0.1", &["[2001:db8::7]:4711, 2001:db8:ffff::1"]), "2001:db8::7");
        assert_eq!(client(&trusted, "10.0.0.1", &["203.0.113.5, unknown"]), "10.0.0.1", "no guess beyond what is no address");
        assert_eq!(client(&trusted, "10.0.0.1", &["10.9.9.9, 10.2.2.2"]), "10.9.9.9");
    }

    #[test]
    fn what_is_no_network_is_told() {
        for bad in ["proxy.example", "10.0.0.0/33", "0.0.0.0/0", "::/0"] {
            assert_eq!(Proxies::new(&[bad.to_owned()]).unwrap_err(), bad);
        }
    }
}
