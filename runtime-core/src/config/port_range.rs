//! Ports a server may take: one, a range, or a list of both.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Ports to try, in this order, until one is free: `8081`, `8081-8090`, `8081,9000-9010`.
/// Port 0 lets the operating system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange(Vec<RangeInclusive<u16>>);

/// A text that names no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a port, a range such as `8081-8090`, or a list of them")]
pub struct NotAPortRange;

impl PortRange {
    /// The range of this one port.
    pub fn single(port: u16) -> Self {
        Self(vec![port..=port])
    }

    /// The ports in the order to try them.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().cloned().flatten()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for PortRange {
    type Err = NotAPortRange;

    fn from_str(text: &str) -> Result<Self, NotAPortRange> {
        let port = |text: &str| match text.trim() {
            text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u16>().map_err(|_| NotAPortRange),
            _ => Err(NotAPortRange),
        };
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => Ok(port(first)?..=port(last)?),
            None => port(part).map(|port| port..=port),
        };
        let ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
        match ranges.iter().all(|range| !range.is_empty()) {
            true => Ok(Self(ranges)),
            false => Err(NotAPortRange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports_come_in_the_order_written() {
        let range: PortRange = "8085, 8081-8083,0".parse().unwrap();
        assert_eq!(range.ports().collect::<Vec<_>>(), [8085, 8081, 8082, 8083, 0]);
        assert_eq!(range.to_string(), "8085,8081-8083,0");
        for wrong in ["", "x", "8090-8081", "65536", "1-2-3", "8081,", "-1", "+5"] {
            assert_eq!(wrong.parse::<PortRange>(), Err(NotAPortRange), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ends in prop::collection::vec(any::<(u16, u16)>(), 1..5)) {
            let range = PortRange(ends.into_iter().map(|(a, b)| a.min(b)..=a.max(b)).collect());
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }
}
