import Platform
import Testing

@testable import Capture

@Suite("Texts of capture")
struct TextTests {
    @Test("a unit's drop-in waits for capture, and has systemd block it where that helps")
    func dropIn() throws {
        let old = try #require(UnitDropIn.text(unit: "reviews.service", systemdVersion: 252, outboundOnAgentExit: .block))
        #expect(old.contains("\n[Service]\nExecStartPre=+/usr/bin/weft capture ready %n\n"))
        #expect(!old.contains("NFTSet"))
        let new = try #require(UnitDropIn.text(unit: "reviews.service", systemdVersion: 255, outboundOnAgentExit: .block, guardTable: "weft_guard"))
        #expect(new.hasSuffix("\nNFTSet=cgroup:inet:weft_guard:blocked\n"))
        #expect(UnitDropIn.text(unit: "reviews.service", systemdVersion: 255, outboundOnAgentExit: .block, guardTable: "weft-guard") == old)
        let bypass = try #require(
            UnitDropIn.text(unit: "reviews.service", systemdVersion: 255, outboundOnAgentExit: .bypass, guardTable: "weft_guard"))
        #expect(bypass.contains("\nExecStartPre=+/bin/sh -c '[ ! -x /usr/bin/weft ] || exec /usr/bin/weft capture ready --allow-without-agent %n'\n"))
        #expect(!bypass.contains("NFTSet"))
        #expect(UnitDropIn.text(unit: "shop.slice", systemdVersion: 255, outboundOnAgentExit: .block) == nil)
    }

    @Test(
        "a drop-in is written for unit names only",
        arguments: [
            ("a.service", true), ("worker@7.service", true), ("a\\x2db.service", true), ("shop.slice", true),
            ("../etc/x.service", false), ("a/b.service", false), ("*.service", false), ("a", false), ("a.socket", false), (".service", false),
            ("-x.service", false), ("a b.service", false), ("", false),
        ])
    func names(name: String, good: Bool) {
        #expect(UnitDropIn.isUnitName(name) == good)
    }

    @Test(
        "systemd-resolved's socket is noticed when it is asked before DNS",
        arguments: [
            ("hosts: files mymachines resolve [!UNAVAIL=return] dns myhostname\n", ResolverAdvice.resolveSocketFirst),
            ("hosts:files dns resolve\n", .fine),
            ("# hosts: resolve\nhosts:\tfiles dns\n", .fine),
            ("hosts: files # resolve\n", .fine),
            ("passwd: files resolve\nhosts: files\n", .fine),
            ("", .fine),
            ("  hosts : resolve dns", .resolveSocketFirst),
        ])
    func resolver(text: String, expected: ResolverAdvice) {
        #expect(ResolverAdvice.of(nsswitch: text) == expected)
    }

    @Test("bad settings are told apart, one sentence each")
    func settings() {
        #expect(CaptureSettings().problems.isEmpty)
        func problems(_ change: (inout CaptureSettings) -> Void) -> Int {
            var settings = CaptureSettings()
            change(&settings)
            return settings.problems.count
        }
        #expect(problems { $0.excludedMark = $0.spoofedMark } == 1)
        #expect(problems { $0.markMask = 0x0100_0000 } == 1)
        #expect(problems { $0.inboundPort = 16001 } == 1)
        #expect(problems { $0.routingTable = 254 } == 1)
        #expect(problems { $0.rulePriority = 32766 } == 1)
        #expect(problems { $0.nodeAddressV4 = .loopbackV6 } == 1)
        #expect(problems { $0.nodeAddressV6 = .loopbackV4 } == 1)
    }
}
