import Testing

@testable import Catalog

@Suite struct GRPCHealthMessageTests {
    @Test func theRequestHasTheServiceAndItsLengthBefore() {
        #expect(GRPCHealthMessage.request(service: "") == [0, 0, 0, 0, 0])
        #expect(GRPCHealthMessage.request(service: "ab") == [0, 0, 0, 0, 4, 0x0a, 2, 97, 98])
        let long = GRPCHealthMessage.request(service: String(repeating: "x", count: 300))
        #expect(Array(long.prefix(8)) == [0, 0, 0, 1, 47, 0x0a, 0xac, 2] && long.count == 308)
    }

    @Test(arguments: [
        ([0, 0, 0, 0, 0], 0), ([0, 0, 0, 0, 2, 8, 1], 1), ([0, 0, 0, 0, 2, 8, 2], 2), ([0, 0, 0, 0, 3, 8, 0x81, 1], 129),
        // Fields of a later version: a text, four bytes, eight bytes, a number.
        ([0, 0, 0, 0, 24, 0x12, 2, 1, 2, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 9, 8, 1, 8, 2], 2),
        // Compressed, cut, too long, and what is no message.
        ([1, 0, 0, 0, 2, 8, 1], nil), ([0, 0, 0, 0, 2, 8], nil), ([0, 0, 0, 0, 2, 8, 1, 0], nil), ([0, 0, 0], nil), ([], nil),
        ([0, 0, 0, 0, 2, 0x0b, 1], nil), ([0, 0, 0, 0, 2, 0x12, 9], nil), ([0, 0, 0, 0, 2, 0, 1], nil),
        ([0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], nil), ([0, 0, 0, 0, 2, 0x21, 1], nil),
    ] as [([UInt8], UInt64?)])
    func theAnswerIsReadOrRefused(_ bytes: [UInt8], _ expected: UInt64?) { #expect(GRPCHealthMessage.status(bytes) == expected) }
}
