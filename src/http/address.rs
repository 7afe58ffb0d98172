//! Which addresses wharf itself may connect to.
//!
//! In: an address, as a name resolved to it or as it stands in a URL, and the ranges of `[egress] allow`. Out: whether it
//! may be dialled. Must not resolve or connect: the client asks here for every address before it dials.
//!
//! Three classes. *Forbidden*: never, whatever the configuration says (link-local, cloud metadata, "this network",
//! multicast, broadcast). *Private*: only where `[egress] allow` names the range. *Public*: always.
//!
//! An IPv6 address that carries an IPv4 address (mapped, compatible, NAT64, 6to4) is judged as the IPv4 address that it
//! would reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    Private,
    Forbidden,
}

/// Whether `address` may be dialled, given the private ranges that the owner has allowed.
#[must_use]
pub(super) fn is_allowed(address: IpAddr, allow: &[IpNet]) -> bool {
    let address = unwrapped(address);
    match class(address) {
        Class::Public => true,
        Class::Private => allow.iter().any(|range| range.contains(&address)),
        Class::Forbidden => false,
    }
}

/// The address that is really reached: the IPv4 address inside an IPv6 one, where there is one.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let s = six.segments();
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // ::a.b.c.d, the long-deprecated "compatible" form; `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => from(high, low),
        // ::ffff:a.b.c.d, and the translated form ::ffff:0:a.b.c.d
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => from(high, low),
        // 64:ff9b::a.b.c.d, the well-known NAT64 prefix
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => from(high, low),
        // 2002:a.b.c.d::, 6to4
        [0x2002, high, low, ..] => from(high, low),
        _ => address,
    }
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(four) => class_of_four(four),
        IpAddr::V6(six) => class_of_six(six),
    }
}

/// By the IANA registry of special addresses, and the metadata services of the large clouds.
fn class_of_four(address: Ipv4Addr) -> Class {
    match address.octets() {
        // "This network", link-local (with the metadata service at 169.254.169.254), multicast, broadcast.
        [0, ..] | [169, 254, ..] | [224..=239, ..] | [255, 255, 255, 255] => Class::Forbidden,
        // Metadata services outside the link-local range: Alibaba, Azure, Oracle.
        [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => Class::Forbidden,
        // Loopback, RFC 1918, carrier-grade NAT.
        [127, ..] | [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
        // Protocol assignments, documentation, the old 6to4 relay, benchmarking, reserved.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => Class::Private,
        [198, 18 | 19, ..] | [240..=255, ..] => Class::Private,
        _ => Class::Public,
    }
}

/// By the IANA registry of special addresses; what is not global unicast is private until allowed.
fn class_of_six(address: Ipv6Addr) -> Class {
    let s = address.segments();
    match s {
        // Unspecified; link-local; multicast.
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xfe80..=0xfebf, ..] | [0xff00..=0xffff, ..] => Class::Forbidden,
        // Metadata services: AWS, Google.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Class::Forbidden,
        // Teredo and ORCHID, benchmarking: all of 2001::/23; documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Class::Private,
        // Global unicast.
        [0x2000..=0x3fff, ..] => Class::Public,
        // Loopback, unique local, local NAT64, segment routing, and all that is not assigned.
        _ => Class::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Address, class: `+` public, `p` private, `x` forbidden.
    const TABLE: &[(&str, char)] = &[
        ("1.1.1.1", '+'),
        ("8.8.8.8", '+'),
        ("93.184.216.34", '+'),
        ("100.63.255.255", '+'),
        ("100.128.0.0", '+'),
        ("126.255.255.255", '+'),
        ("128.0.0.1", '+'),
        ("168.63.129.17", '+'),
        ("169.253.255.255", '+'),
        ("169.255.0.0", '+'),
        ("172.15.255.255", '+'),
        ("172.32.0.0", '+'),
        ("192.167.255.255", '+'),
        ("198.17.255.255", '+'),
        ("198.20.0.0", '+'),
        ("223.255.255.255", '+'),
        ("127.0.0.1", 'p'),
        ("127.255.255.254", 'p'),
        ("10.0.0.1", 'p'),
        ("10.255.255.255", 'p'),
        ("172.16.0.1", 'p'),
        ("172.31.255.255", 'p'),
        ("192.168.0.1", 'p'),
        ("192.168.255.255", 'p'),
        ("100.64.0.1", 'p'),
        ("100.127.255.255", 'p'),
        ("192.0.0.8", 'p'),
        ("192.0.2.1", 'p'),
        ("192.88.99.1", 'p'),
        ("198.18.0.1", 'p'),
        ("198.19.255.255", 'p'),
        ("198.51.100.7", 'p'),
        ("203.0.113.9", 'p'),
        ("240.0.0.1", 'p'),
        ("255.255.255.254", 'p'),
        ("0.0.0.0", 'x'),
        ("0.1.2.3", 'x'),
        ("169.254.169.254", 'x'),
        ("169.254.0.1", 'x'),
        ("224.0.0.1", 'x'),
        ("239.255.255.250", 'x'),
        ("255.255.255.255", 'x'),
        ("100.100.100.200", 'x'),
        ("168.63.129.16", 'x'),
        ("192.0.0.192", 'x'),
        ("2606:4700:4700::1111", '+'),
        ("2a00:1450:4001:81b::200e", '+'),
        ("::1", 'p'),
        ("fc00::1", 'p'),
        ("fd12:3456:789a::1", 'p'),
        ("2001:db8::1", 'p'),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", 'p'),
        ("3fff::1", 'p'),
        ("5f00::1", 'p'),
        ("64:ff9b:1::1", 'p'),
        ("4000::1", 'p'),
        ("::", 'x'),
        ("fe80::1", 'x'),
        ("febf::1", 'x'),
        ("ff02::1", 'x'),
        ("fd00:ec2::254", 'x'),
        ("fd20:ce::254", 'x'),
        ("::ffff:1.1.1.1", '+'),
        ("::ffff:127.0.0.1", 'p'),
        ("::ffff:169.254.169.254", 'x'),
        ("::ffff:0:10.0.0.1", 'p'),
        ("::127.0.0.1", 'p'),
        ("::169.254.169.254", 'x'),
        ("64:ff9b::8.8.8.8", '+'),
        ("64:ff9b::10.0.0.1", 'p'),
        ("64:ff9b::a9fe:a9fe", 'x'),
        ("2002:0808:0808::1", '+'),
        ("2002:7f00:0001::1", 'p'),
        ("2002:a9fe:a9fe::1", 'x'),
    ];

    #[test]
    fn every_address_of_the_table_has_its_class() {
        let everything: Vec<IpNet> = ["0.0.0.0/0", "::/0"]
            .iter()
            .map(|range| range.parse().unwrap())
            .collect();
        for (text, class) in TABLE {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(is_allowed(address, &[]), *class == '+', "{text} with nothing allowed");
            assert_eq!(
                is_allowed(address, &everything),
                *class != 'x',
                "{text} with everything allowed"
            );
        }
    }

    #[test]
    fn an_allowed_range_opens_itself_and_no_more() {
        let loopback: Vec<IpNet> = vec!["127.0.0.1/32".parse().unwrap()];
        let is = |text: &str| is_allowed(text.parse().unwrap(), &loopback);
        assert!(is("127.0.0.1"));
        assert!(is("::ffff:127.0.0.1"), "it reaches the same place");
        assert!(!is("127.0.0.2"));
        assert!(!is("::1"));
        assert!(!is("10.0.0.1"));
    }
}
