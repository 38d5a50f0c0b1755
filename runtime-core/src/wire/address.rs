//! Hosts and ports as text: an IPv6 address needs brackets beside a port and has none by itself.
//!
//! People write both forms everywhere; what is joined here is always right for URLs and sockets.

use std::net::Ipv6Addr;

/// `host:port`, with the brackets that an IPv6 address needs.
pub fn authority(host: &str, port: u16) -> String {
    format!("{}:{port}", url_host(host))
}

/// A host as it stands in a URL, with the brackets that an IPv6 address needs.
pub fn url_host(host: &str) -> String {
    match bare_host(host) {
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    }
}

/// A host without the brackets of an IPv6 address, as resolvers and sockets want it.
pub fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// Host, without brackets, and port of `host:port`; none when it is no such thing. The last colon is the port's, so
/// that an IPv6 address without brackets is understood too.
pub fn split_authority(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = bare_host(host);
    let sound = match bare.contains(':') {
        true => bare.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        false => !bare.is_empty() && bare.len() == host.len() && !bare.contains(['[', ']', '/', '@']),
    };
    sound.then_some((bare, port))
}

/// The address that stands for the interfaces of both families; none, for those of IPv4, unless others reach this
/// process under the IPv6 address `host`.
pub fn any_interface_for(host: &str) -> Option<&'static str> {
    bare_host(host).parse::<Ipv6Addr>().is_ok().then_some("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_gets_its_brackets_once() {
        for (host, expected) in
            [("::1", "[::1]:80"), ("[::1]", "[::1]:80"), ("10.0.0.1", "10.0.0.1:80"), ("flink", "flink:80")]
        {
            assert_eq!(authority(host, 80), expected);
        }
    }

    #[test]
    fn an_address_is_read_with_and_without_brackets() {
        for (text, expected) in [
            ("[::1]:8081", Some(("::1", 8081))),
            ("::1:8081", Some(("::1", 8081))),
            ("fe80::1%eth0:8081", Some(("fe80::1%eth0", 8081))),
            ("localhost:8081", Some(("localhost", 8081))),
            ("10.0.0.1:8081", Some(("10.0.0.1", 8081))),
            ("[::1]", None),
            ("localhost", None),
            (":8081", None),
            ("[]:8081", None),
            ("[localhost]:8081", None),
            ("http://localhost:8081", None),
            ("localhost:99999", None),
            ("a:b:80", None),
        ] {
            assert_eq!(split_authority(text), expected, "{text}");
        }
    }

    #[test]
    fn all_interfaces_include_ipv6_where_it_is_used() {
        let hosts = ["::1", "[fd00::1]", "localhost", "10.0.0.1"];
        assert_eq!(hosts.map(any_interface_for), [Some("::"), Some("::"), None, None]);
    }
}
