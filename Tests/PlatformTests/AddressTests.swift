import Testing

@testable import Platform

@Suite("Addresses")
struct AddressTests {
    @Test(
        "an address reads back as its canonical text",
        arguments: [
            ("192.0.2.7", "192.0.2.7"), ("0.0.0.0", "0.0.0.0"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::", "::"), ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ])
    func text(input: String, expected: String) { #expect(IPAddress(input)?.description == expected) }

    @Test("what is no address is refused", arguments: ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "fe80::1%eth0", "[::1]", "1.2.3.4/8", "::1:80:x"])
    func refused(input: String) { #expect(IPAddress(input) == nil) }

    @Test("bytes and text are the same address", arguments: ["192.0.2.7", "2001:db8::7", "255.255.255.255", "::1"])
    func bytes(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(IPAddress(bytes: address.bytes) == address)
        #expect(address.bytes.count == (address.isV4 ? 4 : 16))
    }

    @Test("an IPv4-mapped address is IPv4 once unmapped, and differs before")
    func mapped() throws {
        let mapped = try #require(IPAddress("::ffff:192.0.2.7"))
        #expect(mapped.unmapped == IPAddress("192.0.2.7"))
        #expect(mapped != IPAddress("192.0.2.7"))
    }

    @Test("loopback, link-local and multicast are told", arguments: [("127.0.0.9", true, false, false), ("::1", true, false, false), ("169.254.1.1", false, true, false), ("fe80::1", false, true, false), ("224.0.0.1", false, false, true), ("ff02::1", false, false, true), ("10.0.0.1", false, false, false)])
    func kinds(text: String, loopback: Bool, linkLocal: Bool, multicast: Bool) throws {
        let address = try #require(IPAddress(text))
        #expect((address.isLoopback, address.isLinkLocal, address.isMulticast) == (loopback, linkLocal, multicast))
    }

    @Test("socket addresses need a port, and IPv6 its brackets", arguments: [("192.0.2.7:80", true), ("[2001:db8::7]:80", true), ("192.0.2.7", false), ("2001:db8::7:80", false), ("[192.0.2.7]:80", false), ("192.0.2.7:65536", false), ("[::1]", false)])
    func socketAddress(text: String, valid: Bool) {
        #expect((SocketAddress(text) != nil) == valid)
        if let address = SocketAddress(text) { #expect(address.description == text) }
    }

    @Test("a socket address survives the kernel's form", arguments: ["192.0.2.7:80", "[2001:db8::7]:65535"])
    func kernelForm(text: String) throws {
        let address = try #require(SocketAddress(text))
        let back = SocketAddress.filled { pointer, length in
            address.withSockaddr { from, size in
                UnsafeMutableRawPointer(pointer).copyMemory(from: from, byteCount: Int(size))
                length.pointee = size
                return 0
            }
        }
        #expect(back == address)
    }

    @Test(
        "a network holds its addresses and no others",
        arguments: [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"), ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"), ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"), ("fd00::/127", "fd00::1", "fd00::2"), ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ])
    func networks(network: String, inside: String, outside: String) throws {
        let network = try #require(IPNetwork(network))
        #expect(network.contains(try #require(IPAddress(inside))))
        #expect(!network.contains(try #require(IPAddress(outside))))
        #expect(network.range.upperBound >= network.range.lowerBound && network.range.lowerBound == network.base)
    }

    @Test("host bits are cleared, and bad lengths refused")
    func canonical() {
        #expect(IPNetwork("10.1.2.3/8")?.description == "10.0.0.0/8")
        for bad in ["10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/8"] { #expect(IPNetwork(bad) == nil) }
    }

    @Test("times are written in RFC 3339", arguments: [(0, "1970-01-01T00:00:00.000Z"), (1_795_248_503, "2026-11-21T08:08:23.000Z")] as [(Int64, String)])
    func times(seconds: Int64, expected: String) { #expect(WallTime(seconds: seconds).rfc3339 == expected) }
}
