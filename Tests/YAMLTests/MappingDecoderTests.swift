import Testing

@testable import YAML

/// Decodes the first document and gives the value with what was told.
func decode<T>(_ text: String, _ body: (MappingDecoder) -> T) -> (value: T, errors: [String]) {
    let diagnostics = Diagnostics(path: "f.yaml")
    let root = YAMLParser.documents(in: text, diagnostics).first ?? Node(.mapping([]), mark: .start)
    let value = MappingDecoder.decode(root, diagnostics, body)
    return (value, diagnostics.sorted.map(\.description))
}

private enum Colour: String, CaseIterable { case red, green, blue }

@Suite("The decoder tells everything that is wrong")
struct MappingDecoderTests {
    @Test(
        "Wrong values name the key, what was expected, what was found and what was probably meant",
        arguments: [
            ("v: yes", "true or false, not \"yes\"; write true"), ("v: off", "true or false, not \"off\"; write false"),
            ("v: 1", "true or false, not \"1\"; write true"),
            ("v: \"true\"", "true or false, not \"true\"; write true without quotes"), ("v: tRue", "true or false, not \"tRue\"; write true"),
            ("v: maybe", "true or false, not \"maybe\""), ("v: [true]", "true or false, not a list"), ("v: {a: b}", "true or false, not a mapping"),
        ])
    func booleans(_ text: String, _ problem: String) {
        let (value, errors) = decode(text) { $0.value("v", .bool, default: false) }
        #expect(value == false)
        #expect(errors == ["f.yaml:1:4: `v` must be \(problem)"])
    }

    @Test(
        "true and false are booleans in the three spellings of YAML 1.2",
        arguments: [("true", true), ("True", true), ("TRUE", true), ("false", false), ("False", false), ("FALSE", false)])
    func goodBooleans(_ text: String, _ expected: Bool) {
        let (value, errors) = decode("v: \(text)") { $0.optional("v", .bool) }
        #expect(value == expected)
        #expect(errors.isEmpty)
    }

    @Test(
        "Numbers",
        arguments: [("5", 5), ("0x1f", 31), ("0o17", 15), ("-3", -3), ("0", 0), ("100", 100)] as [(String, Int?)] + [
            ("010", nil), ("1e3", nil), ("1_000", nil), ("\"5\"", nil), ("101", nil), ("5.0", nil),
        ])
    func integers(_ text: String, _ expected: Int?) {
        let (value, errors) = decode("v: \(text)") { $0.optional("v", ScalarType<Int>.integer(-5...100)) }
        #expect(value == expected)
        #expect(errors.isEmpty == (expected != nil))
    }

    @Test("Leading zeros and quotes get a hint")
    func integerHints() {
        let type = ScalarType<Int>.integer(0...100)
        #expect(
            decode("v: 010") { $0.optional("v", type) }.errors == [
                "f.yaml:1:4: `v` must be a number from 0 to 100, not \"010\"; leading zeros are ambiguous: write 10, or 0o… for octal"
            ])
        #expect(
            decode("v: '7'") { $0.optional("v", type) }.errors == [
                "f.yaml:1:4: `v` must be a number from 0 to 100, not \"7\"; write it without quotes"
            ])
    }

    @Test(
        "Durations",
        arguments: [("5s", 5_000), ("250ms", 250), ("1m30s", 90_000), ("24h", 86_400_000), ("1d", 86_400_000), ("1.5s", 1_500), ("0", 0), ("0s", 0)]
            as [(String, Int64?)] + [
                ("5", nil), ("s", nil), ("5 s", nil), ("-5s", nil), ("5sec", nil), ("1.2.3s", nil), (".5s", nil), ("99999999999999d", nil),
                ("9223372036s9223372036s", nil),
            ])
    func durations(_ text: String, _ milliseconds: Int64?) {
        #expect(DurationText.parse(text) == milliseconds.map { .milliseconds($0) })
    }

    @Test("A duration without its unit gets a hint")
    func durationHint() {
        let errors = decode("v: 30") { $0.optional("v", .duration(.zero...(.seconds(3600)))) }.errors
        #expect(errors == ["f.yaml:1:4: `v` must be a duration from 0s to 1h, as 5s or 250ms, not \"30\"; give the unit: 30s or 30ms"])
    }

    @Test("Durations are written so that they read back", arguments: [0, 1, 999, 1_000, 61_000, 3_600_000, 86_400_000, 90_061_001] as [Int64])
    func durationRoundTrip(_ milliseconds: Int64) {
        let duration = Duration.milliseconds(milliseconds)
        #expect(DurationText.parse(DurationText.format(duration)) == duration)
    }

    @Test(
        "Sizes",
        arguments: [("64KiB", 65_536), ("1MiB", 1 << 20), ("4096", 4096), ("10MB", 10_000_000), ("1.5KiB", 1536), ("2B", 2)] as [(String, Int?)] + [
            ("64k", nil), ("64 KiB", nil), ("", nil), ("1.0001KiB", nil), ("-1", nil),
        ])
    func sizes(_ text: String, _ bytes: Int?) {
        #expect(SizeText.parse(text) == bytes)
        if let bytes { #expect(SizeText.parse(SizeText.format(bytes)) == bytes) }
    }

    @Test("A size's usual short unit gets a hint")
    func sizeHint() {
        #expect(
            decode("v: 64k") { $0.optional("v", .size(0...(1 << 20))) }.errors == [
                "f.yaml:1:4: `v` must be a size from 0 to 1MiB, as 64KiB, not \"64k\"; write 64KiB"
            ])
    }

    @Test("A choice suggests the nearest")
    func choice() {
        let (_, errors) = decode("v: gren") { $0.optional("v", ScalarType<Colour>.choice()) }
        #expect(errors == ["f.yaml:1:4: `v` must be one of red, green, blue, not \"gren\"; did you mean green?"])
    }

    @Test(
        "Unknown keys suggest the nearest valid one",
        arguments: [
            ("worklods: 1", "1:1: unknown key `worklods`, did you mean `workloads`?"),
            ("prots: 1", "1:1: unknown key `prots`, did you mean `ports`?"),
            ("access_log: 1", "1:1: unknown key `access_log`, did you mean `accessLog`?"),
            ("Ports: 1", "1:1: unknown key `Ports`, did you mean `ports`?"),
            ("colour: 1", "1:1: unknown key `colour`; valid: workloads, ports, accessLog"),
            ("? a\n", "1:3: unknown key `a`; valid: workloads, ports, accessLog"),
        ])
    func unknown(_ text: String, _ expected: String) {
        let (_, errors) = decode(text) { root in ["workloads", "ports", "accessLog"].map { root.optional($0, ScalarType<Int>.integer(0...9)) } }
        #expect(errors == ["f.yaml:\(expected)"])
    }

    @Test("A key that is already written is not suggested before one that is free")
    func freeFirst() {
        let (_, errors) = decode("port: 1\nprot: 2") { root in
            (root.optional("port", ScalarType<Int>.integer(0...9)), root.optional("ports", ScalarType<Int>.integer(0...9)))
        }
        #expect(errors == ["f.yaml:2:1: unknown key `prot`, did you mean `ports`?"])
    }

    @Test("Everything wrong is told at once, in the order of the file, with the path of each key")
    func all() {
        let text = """
            name: ""
            items:
              - size: 3
                colour: blu
              - 7
              - size: big
                extra: 1
            flags: {a: yes}
            """
        let (_, errors) = decode(text) { root in
            _ = root.required("name", .text)
            _ = root.list("items") { item in
                (item.required("size", ScalarType<Int>.integer(0...9)), item.optional("colour", ScalarType<Colour>.choice()))
            }
            root.section("flags") { _ = $0.value("a", .bool, default: false) }
            _ = root.required("missing", .text)
        }
        #expect(
            errors == [
                "f.yaml:1:1: `missing` is missing; it must be a text",
                "f.yaml:1:7: `name` must be a text, not \"\"",
                "f.yaml:4:13: `items[0].colour` must be one of red, green, blue, not \"blu\"; did you mean blue?",
                "f.yaml:5:5: `items[1]` must be a mapping of keys to values, not a single value",
                "f.yaml:5:5: `items[1].size` is missing; it must be a number from 0 to 9",
                "f.yaml:6:11: `items[2].size` must be a number from 0 to 9, not \"big\"",
                "f.yaml:7:5: unknown key `extra` in `items[2]`; valid: size, colour",
                "f.yaml:8:12: `flags.a` must be true or false, not \"yes\"; write true",
            ])
    }

    @Test("An empty value is the default; for a required key it is told")
    func empty() {
        let (value, errors) = decode("a:\nb: ~\nc:\n") { ($0.value("a", .text, default: "x"), $0.list("b", .text), $0.required("c", .text)) }
        #expect(value.0 == "x" && value.1 == [] && value.2 == nil)
        #expect(errors == ["f.yaml:3:3: `c` is empty; it must be a text"])
    }

    @Test("Lists must be lists and sections mappings")
    func shapes() {
        let (_, errors) = decode("a: x\nb: [1]\nc: [[1], ~]") { root in
            _ = root.list("a", .text)
            root.section("b") { _ in }
            _ = root.list("c", .text)
        }
        #expect(
            errors == [
                "f.yaml:1:4: `a` must be a list, not a single value; write `- ` before each item",
                "f.yaml:2:4: `b` must be a mapping of keys to values, not a list",
                "f.yaml:3:5: `c[0]` must be a text, not a list",
                "f.yaml:3:10: `c[1]` is empty; it must be a text",
            ])
    }

    @Test("Free keys: both sides are checked")
    func dictionaries() {
        let short = ScalarType<String>("a short text") { $0.count < 4 ? $0 : nil }
        let (value, errors) = decode("l: {app: web, toolong: x, b: alsolong}") { $0.dictionary("l", keys: short, short) }
        #expect(value == ["app": "web"])
        #expect(
            errors == [
                "f.yaml:1:15: `a key of l` must be a short text, not \"toolong\"", "f.yaml:1:30: `l.b` must be a short text, not \"alsolong\"",
            ])
    }

    @Test("Numbers are texts where a text is expected, as they are written")
    func texts() {
        #expect(decode("v: 1.10") { $0.optional("v", .text) }.value == "1.10")
        #expect(decode("v: 'null'") { $0.optional("v", .text) }.value == "null")
    }

    @Test("More than a hundred errors are counted, not listed")
    func many() {
        let diagnostics = Diagnostics(path: "f")
        for line in 1...150 { diagnostics.report(Mark(line: line, column: 1), "no") }
        #expect(diagnostics.errors.count == 100 && diagnostics.dropped == 50)
    }
}

@Suite("Suggestions and output")
struct SuggestionTests {
    @Test(
        "Distances count insertions, deletions, substitutions and swaps",
        arguments: [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3), ("ab", "ba", 1), ("worklods", "workloads", 1)])
    func distance(_ a: String, _ b: String, _ expected: Int) {
        #expect(Suggestion.distance(a, b) == expected)
        #expect(Suggestion.distance(b, a) == expected)
    }

    @Test("What is too far is no suggestion")
    func far() {
        #expect(Suggestion.nearest(to: "colour", among: ["ports", "dns"]) == nil)
        #expect(Suggestion.nearest(to: "xy", among: ["ab"]) == nil)
    }

    @Test(
        "Texts that would read as something else are quoted, and every text reads back",
        arguments: [
            "web", "true", "no", "10.0.0.1", "1.5", "", "a b", "a: b", "#x", "ü\"\\\n\t\u{7f}\u{2028}", "null", "~", "[::1]:80", "/run/weft", "-x",
            "0x10", "10.0.0.0/8", "1.2.3",
        ])
    func quoting(_ text: String) {
        let rendered = Output.mapping([
            .init("k", .text(text)), .init("l", .list([.text(text), .list([.text(text)]), .mapping([.init(text, .text(text))])])),
        ]).rendered()
        let (documents, errors) = compose(rendered)
        #expect(errors.isEmpty, "\(rendered)")
        guard case .mapping(let entries) = documents[0].content, case .sequence(let items) = entries[1].value.content,
            case .sequence(let inner) = items[1].content, case .mapping(let map) = items[2].content
        else {
            Issue.record("another tree: \(rendered)")
            return
        }
        for node in [entries[0].value, items[0], inner[0], map[0].value] {
            guard case .scalar(let scalar) = node.content else { return #expect(Bool(false)) }
            #expect(scalar.text == text && !node.isNull)
        }
        #expect(map[0].key == text)
    }
}
