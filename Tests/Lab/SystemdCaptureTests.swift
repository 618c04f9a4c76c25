import Testing

/// Units that systemd starts, captured before their first packet; and what the watchdog makes of an agent that hangs.
@Suite("Capture under systemd", .serialized, .enabled(if: SystemdBox.obstacle == nil, "\(SystemdBox.obstacle ?? "")"))
struct SystemdCaptureTests {
    private static let (server, port) = (SystemdWire.server, SystemdWire.port)

    @Test("a unit that connects in its first millisecond and is restarted 200 times sends no plaintext SYN")
    func firstMillisecond() throws {
        let box = try SystemdBox("first")
        defer { box.stop() }
        try SystemdWire.start(box)
        try box.must("printf '[Service]\\nType=oneshot\\nExecStart=/usr/local/bin/peer first \(Self.server) \(Self.port)\\n' >/etc/systemd/system/first.service; systemctl daemon-reload")

        // The counter works: uncaptured, the unit's SYN is seen.
        let start = try SystemdWire.packets(box, "plain")
        try box.must("systemctl start first")
        let uncaptured = try SystemdWire.packets(box, "plain")
        #expect(uncaptured > start)

        try box.must("weft capture add first.service")
        let marked = try SystemdWire.packets(box, "marked")
        // On a machine that is busy with other things, so that the agent is late.
        try box.must(
            """
            busy=
            for _ in 1 2 3; do timeout 120 yes >/dev/null 2>&1 & busy="$busy $!"; done
            for i in $(seq 200); do systemctl restart first || { echo "restart $i failed"; journalctl -u first -n 20 --no-pager; break; }; done
            kill $busy
            [ "$i" = 200 ]
            """, timeout: 200)
        let captured = try SystemdWire.packets(box, "plain")
        #expect(captured == uncaptured, "\(box.report())")
        // They went through the agent and reached the server: `first` fails otherwise.
        let served = try SystemdWire.packets(box, "marked")
        #expect(served - marked >= 200)

        // As late as can be: an agent that stands still for a second. The unit waits for it, thanks to its drop-in alone.
        let whileStopped = "systemctl kill -s STOP weft; systemctl restart --no-block first; sleep 1; systemctl kill -s CONT weft; systemctl start first"
        try box.must(whileStopped)
        let waited = try SystemdWire.packets(box, "plain")
        #expect(waited == uncaptured)
        try box.must("mv /etc/systemd/system/first.service.d /tmp/; systemctl daemon-reload; \(whileStopped)")
        let hurried = try SystemdWire.packets(box, "plain")
        #expect(hurried > uncaptured, "without the drop-in it is too early, or this test shows nothing")
        try box.must("mv /tmp/first.service.d /etc/systemd/system/; systemctl daemon-reload")

        try box.must("weft capture remove first.service; systemctl restart first")
        let released = try SystemdWire.packets(box, "plain")
        #expect(released > hurried)
    }

    enum Mode: String, CaseIterable { case bypass, block }

    @Test("an agent that hangs under load ends within WatchdogSec, as the configured mode says", arguments: Mode.allCases)
    func watchdog(mode: Mode) throws {
        let box = try SystemdBox("hang-\(mode.rawValue)")
        defer { box.stop() }
        try SystemdWire.start(box)
        if mode == .block { try box.must("sed -i 's/outbound: bypass/outbound: block/' /etc/weft/weft.yaml; systemctl restart weft") }
        // So that the time without an agent is long enough to look at.
        try box.must("mkdir -p /etc/systemd/system/weft.service.d; printf '[Service]\\nRestartSec=3\\n' >/etc/systemd/system/weft.service.d/slow.conf")
        try box.must(
            "printf '[Service]\\nExecStart=/usr/local/bin/peer load \(Self.server) \(Self.port)\\nStandardOutput=file:/run/load.log\\n' >/etc/systemd/system/load.service; systemctl daemon-reload")
        try box.wait("weft status --output json | grep -q '\"ready\"'")
        try box.must("weft capture add load.service; systemctl start load")
        try box.wait("[ $(grep -c ok /run/load.log) -gt 30 ]")
        let plain = try SystemdWire.packets(box, "plain")
        let limit = try #require(Int(try box.must("systemctl show weft -p WatchdogUSec --value | sed 's/s$//'").trimmed))

        let stopped = try #require(Int(try box.must("systemctl kill -s STOP weft; date +%s%3N").trimmed))
        try box.wait("systemctl show weft -p Result --value | grep -q watchdog || systemctl show weft -p NRestarts --value | grep -q 1", seconds: limit + 10)
        try box.wait("systemctl show weft -p NRestarts --value | grep -q 1 && weft status --output json | grep -q '\"ready\"'", seconds: 20)
        let returned = try #require(Int(try box.must("date +%s%3N").trimmed))
        let log = try box.must("cat /run/load.log").lines.compactMap { line -> (time: Int, result: String)? in
            let words = line.split(separator: " ", maxSplits: 1)
            return words.count == 2 ? Int(words[0]).map { ($0, String(words[1])) } : nil
        }
        // What was on its way when the agent was stopped may still end well, and a client may be half a second into its wait.
        let after = log.filter { $0.time > stopped + 300 && $0.time <= returned }
        #expect(after.contains { $0.result == "timeout" }, "a stopped agent answers nobody")
        let end = try #require(after.first { $0.result != "timeout" }, "nothing happened within \(returned - stopped) ms: \(box.report())")
        #expect(end.time - stopped <= limit * 1000 + 1000, "ended after \(end.time - stopped) ms")
        switch mode {
        case .bypass:
            #expect(after.contains { $0.result == "ok" })
            #expect(try SystemdWire.packets(box, "plain") > plain, "without an agent calls go directly")
        case .block:
            #expect(after.contains { $0.result == "refused" }, "\(Set(after.map(\.result)))")
            #expect(try SystemdWire.packets(box, "plain") == plain, "in block mode nothing goes in plaintext")
        }
        // The agent is back, and so is capture.
        let again = try SystemdWire.packets(box, "plain")
        let served = try SystemdWire.packets(box, "marked")
        try box.must("sleep 1")
        #expect(try SystemdWire.packets(box, "plain") == again)
        #expect(try SystemdWire.packets(box, "marked") > served)
    }
}
