//! Networks that a setting lists, such as those of load balancers.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of addresses.
#[derive(Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// The networks that a setting lists.
    ///
    /// # Errors
    /// When one of them is not a network; the error names it.
    pub fn parse(networks: &[String]) -> Result<Self, settings::NetworkError> {
        networks.iter().map(|network| settings::parse_network(network)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_with_a_prefix_or_as_single_addresses() {
        let named = ["10.0.0.0/8".to_owned(), "192.0.2.7".to_owned(), "2001:db8::/32".to_owned()];
        let networks = Networks::parse(&named).expect("good networks");
        for (address, is_contained) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("::ffff:10.0.0.1", true),
        ] {
            assert_eq!(networks.contain(address.parse().expect("an address")), is_contained, "{address}");
        }
        assert!(Networks::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
