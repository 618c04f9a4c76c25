import Identity
import MeshModel
import Testing

@testable import Membership

@Suite("Orders about gossip keys")
struct KeyOrderTests {
    static func key(_ number: UInt8) -> [UInt8] { [UInt8](repeating: number, count: 32) }
    static func ring(_ numbers: UInt8..., revision: UInt64 = 7) throws(MeshError) -> GossipKeyring {
        try GossipKeyring(keys: numbers.map(Self.key), revision: revision, by: "x")
    }
    static func print(_ number: UInt8) -> String { GossipKeyring.fingerprint(key(number)) }

    private func outcome(_ order: KeyOrder, _ ring: GossipKeyring, _ survey: KeySurvey = KeySurvey(), force: Bool = false) throws(MeshError) -> KeySurvey.Outcome {
        try survey.outcome(of: order, on: ring, by: "a", force: force)
    }
    private func refusal(_ order: KeyOrder, _ ring: GossipKeyring, _ survey: KeySurvey = KeySurvey(), force: Bool = false) -> MeshError? {
        do throws(MeshError) {
            _ = try outcome(order, ring, survey, force: force)
            return nil
        } catch {
            return error
        }
    }
    private let silent = KeySurvey(failures: ["c": MeshError(.peer, code: "no_stream", "there is no stream to node c")])

    @Test func `add, use and remove each make the next revision`() throws {
        let added = try outcome(.add(Self.key(2)), Self.ring(1))
        #expect(added.keyring == (try GossipKeyring(keys: [Self.key(1), Self.key(2)], revision: 8, by: "a")))
        let used = try outcome(.use(Self.print(2)), Self.ring(1, 2))
        #expect(used.keyring?.keys == [Self.key(2), Self.key(1)] && used.fingerprint == Self.print(2))
        let removed = try outcome(.remove(Self.print(1)), Self.ring(2, 1))
        #expect(removed.keyring?.keys == [Self.key(2)] && removed.keyring?.revision == 8)
    }

    @Test func `what is as ordered already makes no revision`() throws {
        #expect(try outcome(.add(Self.key(2)), Self.ring(1, 2)).keyring == nil)
        #expect(try outcome(.use(Self.print(1)), Self.ring(1, 2), silent).keyring == nil)
        // Removed here, and a node that missed it had it until this moment.
        let late = KeySurvey(found: ["b": [Self.print(1)], "c": [Self.print(2), Self.print(1)]])
        let done = try outcome(.remove(String(Self.print(2).prefix(6))), Self.ring(1), late)
        #expect(done == .init(fingerprint: Self.print(2), keyring: nil))
    }

    @Test func `a key that seals is not removed, not even by force`() throws {
        let error = refusal(.remove(Self.print(1)), try Self.ring(1, 2), force: true)
        #expect(error?.code == "gossip_key_primary" && error?.remedy.isEmpty == false)
    }

    @Test func `nothing is used or removed while a live member does not answer, which is named, unless forced`() throws {
        for order in [KeyOrder.use(Self.print(2)), .remove(Self.print(2))] {
            let error = refusal(order, try Self.ring(1, 2), silent)
            #expect(error?.code == "gossip_keys_unheard" && error?.message.contains("c (there is no stream to node c)") == true, "\(order)")
            #expect(refusal(order, try Self.ring(1, 2), silent, force: true) == nil)
        }
        // A new key harms nobody who does not have it.
        #expect(refusal(.add(Self.key(3)), try Self.ring(1, 2), silent) == nil)
    }

    @Test func `many silent members are counted, not all listed`() throws {
        var survey = KeySurvey()
        for number in 0..<9 { survey.failures["n\(number)"] = MeshError(.peer, code: "no_stream", "gone") }
        let message = try #require(refusal(.use(Self.print(2)), try Self.ring(1, 2), survey)).message
        #expect(message.contains("n4 (gone) and 4 more") && !message.contains("n5"))
    }

    @Test func `a key is named by the beginning of its fingerprint, and a name that fits none or several is refused`() throws {
        #expect(try outcome(.use(String(Self.print(2).prefix(4)).uppercased()), Self.ring(1, 2)).fingerprint == Self.print(2))
        for name in ["", String(Self.print(2).prefix(3)), "zzzzzz", Self.print(9)] {
            let error = refusal(.use(name), try Self.ring(1, 2))
            #expect(error?.code == "gossip_key_unknown" && error?.remedy.contains(Self.print(2)) == true, "\(name)")
        }
        // Two keys of which the first four digits are equal, found by trying.
        var seen: [String: [UInt8]] = [:]
        var pair: ([UInt8], [UInt8])?
        for number in 0..<UInt32(20_000) where pair == nil {
            let key = [UInt8](repeating: 0, count: 12) + withUnsafeBytes(of: number) { Array($0) }
            let start = String(GossipKeyring.fingerprint(key).prefix(4))
            if let other = seen[start] { pair = (other, key) } else { seen[start] = key }
        }
        let (one, other) = try #require(pair)
        let ring = try GossipKeyring(keys: [one, other])
        #expect(refusal(.use(String(GossipKeyring.fingerprint(one).prefix(4))), ring)?.code == "gossip_key_ambiguous")
    }

    @Test func `sizes and numbers of keys are bounded`() throws {
        #expect(refusal(.add([1, 2, 3]), try Self.ring(1))?.code == "gossip_key_size")
        let full = try Self.ring(1, 2, 3, 4, 5, 6, 7, 8)
        #expect(refusal(.add(Self.key(9)), full)?.code == "gossip_keyring_full")
        #expect(try outcome(.add(Self.key(8)), full).keyring == nil)
        for keys in [[], (1...9).map(Self.key), [Self.key(1), Self.key(1)], [[1]]] {
            #expect(throws: MeshError.self) { try GossipKeyring(keys: keys) }
        }
        #expect(throws: MeshError.self) { try GossipKeyring(keys: [Self.key(1)], revision: .max) }
        #expect(throws: MeshError.self) { try GossipKeyring(keys: [Self.key(1)], by: "a\nb") }
    }

    @Test func `of two keyrings every node prefers the same one`() throws {
        let (low, high) = (try Self.ring(1, revision: 3), try Self.ring(2, revision: 4))
        #expect(low.position < high.position)
        let (one, other) = (try Self.ring(1, revision: 5), try Self.ring(2, revision: 5))
        #expect((one.position < other.position) != (other.position < one.position))
        #expect(try Self.ring(1, 2).position != Self.ring(2, 1).position, "which key is the primary counts")
        #expect(!"\(one)".contains("01"), "no key is shown")
    }
}
