import Platform

@testable import Naming

/// Builds queries as clients do.
func makeQuery(
    _ name: String, _ type: DNSType = .a, id: UInt16 = 0x1234, flags: UInt16 = 0x0100, recordClass: UInt16 = 1, edns: UInt16? = nil,
    ednsVersion: UInt8 = 0, dnssecOK: Bool = false
) -> [UInt8] {
    var bytes = DNSWriter.word(id) + DNSWriter.word(flags) + [0, 1, 0, 0, 0, 0, 0, edns == nil ? 0 : 1]
    bytes += DNSWriter.name(name.split(separator: ".").map(String.init)) + DNSWriter.word(type.number) + DNSWriter.word(recordClass)
    if let edns { bytes += [0, 0, 41] + DNSWriter.word(edns) + [0, ednsVersion] + DNSWriter.word(dnssecOK ? 0x8000 : 0) + [0, 0] }
    return bytes
}

func parsed(_ bytes: [UInt8]) -> DNSQuery? {
    if case .query(let query) = DNSQuery.parse(bytes) { return query }
    return nil
}

/// A response taken apart, by the same reader but another way through it than the server's.
struct Response: Equatable {
    struct Record: Equatable {
        var name: String
        var type: UInt16
        var ttl: UInt32
        /// As people write it.
        var data: String
    }
    var id: UInt16
    var flags: UInt16
    var question: String
    var answers: [Record] = []
    var authority: [Record] = []
    var additional: [Record] = []

    var code: UInt16 { flags & 15 }
    var isTruncated: Bool { flags & 0x0200 != 0 }
    var isAuthoritative: Bool { flags & 0x0400 != 0 }

    init(_ bytes: [UInt8]) throws {
        var reader = DNSReader(bytes)
        id = try reader.word()
        flags = try reader.word()
        let counts = [try reader.word(), try reader.word(), try reader.word(), try reader.word()]
        question = ""
        for _ in 0..<counts[0] {
            question = Self.text(try reader.name(pointers: false))
            _ = (try reader.word(), try reader.word())
        }
        for _ in 0..<counts[1] { answers.append(try Self.record(&reader)) }
        for _ in 0..<counts[2] { authority.append(try Self.record(&reader)) }
        for _ in 0..<counts[3] { additional.append(try Self.record(&reader)) }
        if reader.position != bytes.count { throw DNSFormatError() }
    }

    private static func text(_ labels: [[UInt8]]) -> String { labels.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".") }

    private static func record(_ reader: inout DNSReader) throws -> Record {
        let name = text(try reader.name(pointers: true))
        let type = try reader.word()
        _ = try reader.word()
        let ttl = UInt32(try reader.word()) << 16 | UInt32(try reader.word())
        let length = Int(try reader.word())
        let start = reader.position
        var data: String
        switch DNSType(type) {
        case .a, .aaaa:
            try reader.skip(length)
            data = IPAddress(bytes: reader.bytes[start..<reader.position])?.description ?? "?"
        case .srv:
            data = "\(try reader.word()) \(try reader.word()) \(try reader.word()) "
            data += text(try reader.name(pointers: false))
        case .ptr: data = text(try reader.name(pointers: false))
        case .soa:
            data = text(try reader.name(pointers: false)) + " " + text(try reader.name(pointers: false))
            for _ in 0..<5 { data += " \(UInt32(try reader.word()) << 16 | UInt32(try reader.word()))" }
        default:
            try reader.skip(length)
            data = "\(length) bytes"
        }
        if reader.position != start + length { throw DNSFormatError() }
        return Record(name: name, type: type, ttl: ttl, data: data)
    }
}

/// SplitMix64: the same numbers every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
