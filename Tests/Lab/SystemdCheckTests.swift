import Testing

/// Checks that run programs, under the real systemd and the agent's own sandbox.
@Suite("Checks under systemd", .serialized, .enabled(if: SystemdBox.obstacle == nil, "\(SystemdBox.obstacle ?? "")"))
struct SystemdCheckTests {
    /// A mesh of this one host.
    private func begin(_ box: SystemdBox) throws {
        let package = try #require(SystemdBox.packageFiles().first)
        try SystemdWire.makeNetwork(box)
        try box.must("dpkg -i \(try box.bring(package)); weft init lab.example")
        try box.wait("weft status --output json | grep -q '\"ready\"'")
    }

    @Test("a program is run as its user and within its bounds, its output is shown, and one that others could change is not run")
    func programs() throws {
        let box = try SystemdBox("checks")
        defer { box.stop() }
        try begin(box)
        try box.must(
            """
            set -e
            mkdir -p /usr/local/lib/shop /etc/weft/services.d
            cat >/usr/local/lib/shop/check <<'END'
            #!/bin/sh
            echo "I am $(id -un), told $1"
            sed -n 's/^CapEff:.//p' /proc/self/status
            touch /usr/local/lib/shop/x 2>/dev/null && echo 'can write'
            [ ! -e /run/shop.slow ] || sleep 60
            [ ! -e /run/shop.bad ] || exit 3
            END
            chmod 0755 /usr/local/lib/shop/check
            cat >>/etc/weft/weft.yaml <<'END'
            workloads:
              - name: shop
                unit: shop.service
                namespace: default
                account: shop
            END
            cat >/etc/weft/services.d/shop.yaml <<'END'
            service: shop
            port: 80
            workload: shop
            check:
              exec: {command: [/usr/local/lib/shop/check, a b], user: nobody}
              interval: 2s
              timeout: 2s
              unhealthy: 1
            END
            weft reload
            """)
        func wait(_ words: String) throws {
            do { try box.wait("weft services shop -o json | grep -qF '\(words)'", seconds: 30) } catch {
                Issue.record("\(words): \(try box.run("weft services shop -o json").text) \(box.report())")
            }
        }
        try wait(#""health" : "healthy""#)
        let well = try box.must("weft services shop -o json").text
        #expect(well.contains(#"I am nobody, told a b\n0000000000000000\n""#) && well.contains(#""check" : "exec""#), "\(well)")

        try box.must("touch /run/shop.bad")
        try wait("/usr/local/lib/shop/check ended with status 3")
        #expect(try box.must("weft services shop").text.contains("fails its exec check: /usr/local/lib/shop/check ended with status 3\n    I am nobody, told a b"))
        try box.must("rm /run/shop.bad")
        try wait(#""health" : "healthy""#)

        try box.must("touch /run/shop.slow")
        try wait("/usr/local/lib/shop/check did not end within 2000 ms")
        try box.must("rm /run/shop.slow")
        try wait(#""health" : "healthy""#)

        try box.must("chmod 0757 /usr/local/lib/shop")
        try wait("/usr/local/lib/shop/check is not run: /usr/local/lib/shop can be changed by others than root")
        try box.must("chmod 0755 /usr/local/lib/shop")
        try wait(#""health" : "healthy""#)

        try box.must("sed -i 's/user: nobody/user: nosuchuser/' /etc/weft/services.d/shop.yaml; weft reload")
        try wait("could not be run as user nosuchuser")
        try box.must("sed -i 's/user: nosuchuser/user: nobody/' /etc/weft/services.d/shop.yaml; weft reload")
        try wait(#""health" : "healthy""#)

        // The agent's own sandbox allows all that this took: an error would be in the journal.
        #expect(try box.run("journalctl -u weft -p err -o cat --no-pager -q").lines == [], "\(box.report())")

        // A declaration that others could change names no programs, and what runs stays.
        try box.must("chmod 0666 /etc/weft/services.d/shop.yaml")
        let refused = try box.run("weft reload")
        #expect(refused.status != 0 && refused.text.contains("shop.yaml:5:9: `check.exec` is not allowed here: /etc/weft/services.d/shop.yaml can be changed by others than root"), "\(refused.text)")
        try box.must("chmod 0644 /etc/weft/services.d/shop.yaml; weft reload")
        let registered = try box.run("weft service register other --port 81 --check exec:/usr/bin/true")
        #expect(registered.status != 0 && registered.text.contains("in a file under /etc/weft/services.d"), "\(registered.text)")

        // Nothing is left of the units.
        try box.must("rm /etc/weft/services.d/shop.yaml; weft reload")
        try box.wait("[ -z \"$(systemctl list-units --all --plain --no-legend 'weft-check-*')\" ]")
    }

    @Test("an application sends its own heartbeats as an ordinary user, and nobody else's")
    func heartbeats() throws {
        let box = try SystemdBox("heartbeats")
        defer { box.stop() }
        try begin(box)
        try box.must(
            """
            set -e
            mkdir -p /etc/weft/services.d
            cat >>/etc/weft/weft.yaml <<'END'
            workloads:
              - {name: beat, unit: beat.service, namespace: default, account: beat}
              - {name: other, unit: other.service, namespace: default, account: other}
            END
            cat >/etc/weft/services.d/beat.yaml <<'END'
            service: beat
            port: 80
            workload: beat
            check:
              ttl: 60s
            END
            weft reload
            """)
        /// The words of a heartbeat from a unit of that name.
        func beat(_ unit: String, groups: String, _ options: String = "") throws -> (status: CInt, text: String) {
            let run = try box.run(
                "systemd-run --quiet --wait --pipe --collect --unit=\(unit) -p User=nobody -p SupplementaryGroups='\(groups)' "
                    + "sh -c 'sleep 0.5; weft service heartbeat beat \(options)' 2>&1")
            return (run.status, run.text)
        }
        let own = try beat("beat", groups: "weft")
        #expect(own.status == 0 && own.text.contains("is healthy"), "\(own) \(box.report())")
        let bad = try beat("beat", groups: "weft", "--status failing --note full")
        #expect(bad.status == 0 && bad.text.contains("is unhealthy"), "\(bad)")
        let other = try beat("other", groups: "weft")
        #expect(other.status != 0 && other.text.contains("beat.default is served by spiffe://lab.example/ns/default/sa/beat"), "\(other)")
        #expect(other.text.contains("belongs to workload other") && other.text.contains("from the unit that serves it"), "\(other)")
        let stranger = try beat("stranger", groups: "weft")
        #expect(stranger.status != 0 && stranger.text.contains("belongs to no workload of this node"), "\(stranger)")
        #expect(try beat("beat", groups: "").status != 0, "the socket is for group weft")
        #expect(try beat("stranger", groups: "weft weft-admin").status == 0, "administrators speak for all")
        // Heartbeats come often: of those that count the journal has the health only.
        let journal = try box.run("journalctl -u weft -o cat --no-pager | grep -c 'heartbeat beat.default by uid'").text
        #expect(journal.trimmingPrefix(while: \.isWhitespace).hasPrefix("2"), "the two that were refused: \(journal)")
    }
}
