import Testing

/// The .deb on a pristine host: what it brings, what an upgrade keeps, and what a purge leaves, which is nothing.
@Suite("The Debian package", .serialized, .enabled(if: SystemdBox.obstacle == nil, "\(SystemdBox.obstacle ?? "")"))
struct SystemdPackageTests {
    /// Every file that is not the business of dpkg, systemd or the logs of others. The group files differ in content only.
    private static let listFiles = """
        find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /srv -o -path /tmp -o -path /run/systemd -o -path /run/log \
        -o -path /var/lib/dpkg -o -path /var/log/journal -o -path '/var/lib/systemd/*' -o -path '/var/cache/ldconfig' \\) -prune -o -print | sort; \
        find /run/weft /tmp/weft* /var/lib/systemd /run/systemd/units /var/log -name '*weft*' | sort
        """
    /// Tables, rules and routes of the whole network namespace.
    private static let listNetwork = "nft list ruleset; ip rule; ip -6 rule; ip route show table all | sort; ip -6 route show table all | grep -v ' proto kernel' | sort"

    private func changes(_ box: SystemdBox, since before: [String]) throws -> [String] {
        try box.must(Self.listNetwork).lines.difference(from: before).map { change in
            switch change {
            case .insert(_, let line, _): "+ " + line
            case .remove(_, let line, _): "- " + line
            }
        }
    }

    @Test("installs, starts without a mesh, makes one, keeps it over an upgrade, and a purge leaves no rule, route, process or file")
    func life() throws {
        let files = SystemdBox.packageFiles()
        let (package, next) = (try #require(files.first), try #require(files.dropFirst().first))
        let box = try SystemdBox("package")
        defer { box.stop() }
        try SystemdWire.makeNetwork(box)
        let filesBefore = try box.run(Self.listFiles).lines
        let networkBefore = try box.must(Self.listNetwork).lines

        // What it needs is there, and dpkg installs nothing by itself: dependencies that are missing would be an error here.
        try box.must("dpkg -i \(try box.bring(package))")
        #expect(try box.run("systemctl is-active weft; systemctl is-enabled weft").lines == ["active", "enabled"], "\(box.report())")
        #expect(try box.must("weft status --output json").text.contains("\"uninitialised\""))
        #expect(try box.must("stat -c '%a %G' /run/weft/weft.sock /var/lib/weft").lines == ["660 weft", "700 root"])
        #expect(try box.run("getent group weft weft-admin | wc -l").trimmed == "2")
        // Only what the unit allows: the kernel's view of the running process.
        let main = "$(systemctl show weft -p MainPID --value)"
        #expect(try box.must("grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/\(main)/status | tr -s '\\t' ' '").lines == ["CapEff: 0000000000081000", "NoNewPrivs: 1", "Seccomp: 2"])

        try box.must("weft init lab.example")
        try box.wait("weft status --output json | grep -q '\"ready\"'")
        // The kernel lets a thread ask for short pieces of its processor since 6.12, and shows them.
        let workers = try box.must("for task in /proc/\(main)/task/*; do echo $(cat $task/comm) $(grep ^se.slice $task/sched); done").lines.filter { $0.hasPrefix("weft-worker") }
        #expect(!workers.isEmpty && workers.allSatisfy { $0.hasSuffix(" 500000") || !$0.contains("se.slice") }, "\(workers)")
        try box.must("printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/shop.service; systemctl daemon-reload; weft capture add shop.service; systemctl start shop")
        #expect(try box.must("weft capture list").text.contains("shop.service"))
        // It runs under its own seccomp filter, capabilities and read-only file system: an error would be in the journal.
        #expect(try box.run("journalctl -u weft -p err -o cat --no-pager -q").trimmed == "")
        let certificates = try box.must("weft certs --output json").text
        let fingerprint = try box.must("weft status --output json | grep -i trustDomain").text

        let before = try box.must("echo \(main)").trimmed
        try box.must("dpkg -i \(try box.bring(next))")
        try box.wait("weft status --output json | grep -q '\"ready\"'")
        #expect(try box.must("echo \(main)").trimmed != before, "the upgrade restarts the agent")
        #expect(try box.must("weft status --output json | grep -i trustDomain").text == fingerprint)
        #expect(try box.must("weft capture list").text.contains("shop.service"))
        #expect(!certificates.isEmpty)
        #expect(try box.run("systemctl is-active shop").trimmed == "active", "what is captured is left running")

        // Removed, it keeps its state and takes its rules.
        try box.must("dpkg -r weft")
        let afterRemoval = try changes(box, since: networkBefore)
        #expect(afterRemoval == [])
        #expect(try box.run("test -d /var/lib/weft && test -f /etc/weft/weft.yaml && test -f /etc/systemd/system/shop.service.d/50-weft.conf").status == 0)
        #expect(try box.run("systemctl restart shop && systemctl is-active shop").trimmed == "active", "a unit in bypass mode starts without Weft")
        try box.must("dpkg -i \(try box.bring(next))")
        try box.wait("weft status --output json | grep -q '\"ready\"'")

        try box.must("systemctl stop shop; rm /etc/systemd/system/shop.service; systemctl daemon-reload; dpkg -P weft")
        let afterPurge = try changes(box, since: networkBefore)
        #expect(afterPurge == [])
        #expect(try box.run("pgrep -la weft").trimmed == "")
        let filesAfter = try box.run(Self.listFiles).lines
        #expect(Set(filesAfter).subtracting(filesBefore).sorted() == [])
    }

    @Test("a purge after the agent was killed and systemd gave up leaves nothing either")
    func purgeAfterCrash() throws {
        let box = try SystemdBox("crash")
        defer { box.stop() }
        try SystemdWire.makeNetwork(box)
        let networkBefore = try box.must(Self.listNetwork).lines
        try box.must("dpkg -i \(try box.bring(try #require(SystemdBox.packageFiles().first))); sed -i 's/outbound: bypass/outbound: block/' /etc/weft/weft.yaml; systemctl restart weft")
        try box.must("weft init lab.example; weft capture add shop.slice")
        #expect(try box.must("nft list tables").lines.sorted() == ["table inet weft", "table inet weft-guard"])
        // Without ExecStopPost, as after a power of systemd itself: the guard and the routes are still there.
        try box.must("mkdir -p /run/systemd/system/weft.service.d; printf '[Service]\\nRestart=no\\nExecStopPost=\\n' >/run/systemd/system/weft.service.d/no.conf; systemctl daemon-reload")
        try box.run("systemctl kill -s KILL weft; sleep 0.5")
        #expect(try box.must("nft list tables").trimmed == "table inet weft-guard")
        let afterCrash = try changes(box, since: networkBefore)
        #expect(afterCrash != [])
        try box.must("rm -r /run/systemd/system/weft.service.d; systemctl daemon-reload; dpkg -P weft")
        let afterPurge = try changes(box, since: networkBefore)
        #expect(afterPurge == [])
    }
}
