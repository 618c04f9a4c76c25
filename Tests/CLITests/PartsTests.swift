import ManagementAPI
import Testing

@testable import weft

@Suite("The command line's parts")
struct PartsTests {
    @Test(arguments: [
        (["--output", "json", "status"], ["status", "--output", "json"]),
        (["--socket=/x", "capture", "-o", "json", "list", "a"], ["capture", "list", "--socket=/x", "-o", "json", "a"]),
        (["status", "--socket", "/x"], ["status", "--socket", "/x"]), (["join", "--", "-x"], ["join", "--", "-x"]), (["--help"], ["--help"]),
        (["capture", "--help"], ["capture", "--help"]), (["help", "capture", "add"], ["help", "capture", "add"]), ([], []),
        (["--socket"], ["--socket"]), (["services", "reviews"], ["services", "reviews"]),
    ])
    func `take global options before the command too`(_ given: [String], _ wanted: [String]) throws {
        #expect(try CommandTree(Weft.self).normalise(given) == wanted)
    }

    @Test(arguments: [
        (["statsu"], "did you mean `weft status`?"), (["capture", "rady"], "did you mean `weft capture ready`?"),
        (["--socket", "x", "token", "creat"], "did you mean `weft token create`?"), (["service", "zzzzzz"], "its commands: register, deregister, heartbeat"),
        (["xxxxxx"], "commands: init, token, join"),
    ])
    func `name the nearest command`(_ given: [String], _ hint: String) throws {
        let failure = #expect(throws: Failure.self) { try CommandTree(Weft.self).normalise(given) }
        #expect(failure?.status == .usage)
        #expect(failure?.remedy.contains(hint) == true, "\(failure?.remedy ?? "")")
    }

    @Test(
        arguments: [
            (0, "0s"), (59, "59s"), (60, "1m"), (3_725, "1h 2m"), (86_400, "1d"), (90_061, "1d 1h"), (-120, "2m"), (.min, "106751991167300d 15h"),
        ] as [(Int64, String)])
    func `write time spans with their two largest units`(_ seconds: Int64, _ text: String) { #expect(Text.span(seconds: seconds) == text) }

    @Test(arguments: [(5, "5ms"), (999, "999ms"), (1_250, "1.2s"), (61_000, "1m 1s")] as [(Int64, String)])
    func `write short times`(_ milliseconds: Int64, _ text: String) { #expect(Text.span(milliseconds: milliseconds) == text) }

    @Test(
        arguments: [
            (0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (1536, "1.5KiB"), (5_242_880, "5.0MiB"), (.max, "16383.9PiB"),
        ] as [(UInt64, String)])
    func `write sizes`(_ count: UInt64, _ text: String) { #expect(Text.bytes(count) == text) }

    @Test func `never let another node's name steer the terminal`() {
        #expect(Text.printable("a\u{1b}[31mb\n\u{7}\u{9b}\u{202e}ü") == "a?[31mb????ü")
    }

    @Test func `align columns and end lines without blanks`() {
        var table = Table([.init("A"), .init("NUMBER", isNumber: true), .init("C")])
        table.add(["long text", "7", ""])
        table.add(["x", "1234567", "y"])
        #expect(table.text == "A           NUMBER  C\nlong text        7\nx          1234567  y\n")
    }

    @Test(
        arguments: [
            ("reviews", nil, .unit, "reviews.service"), ("reviews.service", nil, .unit, "reviews.service"),
            ("worker@*.service", nil, .unit, "worker@*.service"),
            ("shop.slice", nil, .slice, "shop.slice"), ("/shop.slice/web.service", nil, .cgroup, "/shop.slice/web.service"),
            ("shop.slice/web", nil, .cgroup, "/shop.slice/web"), ("shop", .slice, .slice, "shop.slice"), ("a.slice", .unit, .unit, "a.slice"),
            ("x", .cgroup, .cgroup, "/x"),
        ] as [(String, CaptureKind?, CaptureKind, String)])
    func `tell units, slices and cgroups apart`(_ word: String, _ given: CaptureKind?, _ kind: CaptureKind, _ selector: String) {
        let target = CaptureTarget(word, kind: given)
        #expect(target.kind == kind)
        #expect(target.selector == selector)
    }

    @Test(arguments: [("30", 30), ("30s", 30), ("5m", 300), ("12h", 43_200), ("7d", 604_800)] as [(String, Int64)])
    func `read times`(_ text: String, _ seconds: Int64) { #expect(TimeSpan(argument: text)?.seconds == seconds) }

    @Test(arguments: ["", "0", "-5", "5x", "h", "1.5h", "99999999999999999999", "9223372036854775807d"])
    func `refuse what is no time`(_ text: String) { #expect(TimeSpan(argument: text) == nil) }

    @Test(arguments: [("shop/reviews", "ns/shop/sa/reviews"), ("shop/*", "ns/shop/sa/*"), ("ns/a/sa/b", "ns/a/sa/b"), ("*", "*")])
    func `write allowed identities out`(_ text: String, _ wanted: String) { #expect(AllowPattern.expand(text) == wanted) }
}
