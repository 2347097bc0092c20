//! A network interface, by name or by one of its addresses.
use crate::error::NicError;
use crate::sys::interfaces;
use std::convert::Infallible;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Which interface multicast is joined and sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// By name, such as `lo` or `eth0`.
    Name(String),
    /// The one that has this address.
    Address(Ipv4Addr),
}

impl Default for Interface {
    /// The loopback interface `lo`.
    fn default() -> Self {
        Self::Name("lo".into())
    }
}

impl FromStr for Interface {
    type Err = Infallible;

    /// An IPv4 address is taken as an address, anything else as a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.into()), Self::Address))
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// An interface that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedInterface {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The address asked for, or its first; unspecified (0.0.0.0) when it has none.
    pub address: Ipv4Addr,
}

impl Interface {
    /// Looks the interface up. The error lists what there is.
    pub fn resolve(&self) -> Result<ResolvedInterface, NicError> {
        let listed = interfaces::list().map_err(|cause| NicError::Interfaces { cause })?;
        let found = match self {
            Self::Name(name) => listed.iter().find(|l| l.name == *name),
            // Every address of 127.0.0.0/8 is the loopback's, listed or not.
            Self::Address(address) => listed.iter().find(|l| l.address == Some(*address)).or_else(|| {
                listed.iter().find(|l| address.is_loopback() && l.address.is_some_and(|a| a.is_loopback()))
            }),
        };
        if let Some(l) = found {
            let address = match self {
                Self::Address(address) => *address,
                Self::Name(_) => l.address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            };
            return Ok(ResolvedInterface { index: l.index, name: l.name.clone(), address });
        }
        // An interface may exist without being listed (no address of any family).
        if let Self::Name(name) = self
            && let Some(index) = interfaces::index_by_name(name)
        {
            return Ok(ResolvedInterface { index, name: name.clone(), address: Ipv4Addr::UNSPECIFIED });
        }
        let available = listed
            .iter()
            .map(|l| {
                l.address.map_or_else(|| format!("{} (no address)", l.name), |a| format!("{} ({a})", l.name))
            })
            .collect();
        Err(NicError::NoSuchInterface { interface: self.to_string(), available })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_find_loopback_by_name_and_by_any_of_its_addresses() {
        let by_name = Interface::default().resolve().unwrap();
        assert_eq!((by_name.name.as_str(), by_name.address), ("lo", Ipv4Addr::LOCALHOST));
        let by_address: Interface = "127.0.0.9".parse().unwrap();
        let by_address = by_address.resolve().unwrap();
        assert_eq!((by_address.index, by_address.address), (by_name.index, Ipv4Addr::new(127, 0, 0, 9)));
    }

    #[test]
    fn should_list_the_interfaces_there_are_when_asked_for_another() {
        let error = Interface::Name("eth77".into()).resolve().unwrap_err().to_string();
        assert!(error.starts_with("no interface \"eth77\" on this host; there are: "), "{error}");
        assert!(error.contains("lo (127.0.0.1)"), "{error}");
        assert!(Interface::Address(Ipv4Addr::new(192, 0, 2, 1)).resolve().is_err());
    }
}
