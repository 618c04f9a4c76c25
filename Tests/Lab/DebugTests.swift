import Glibc
import Testing
import ManagementAPI
extension Lab {
    @Suite struct DebugTests {
        @Test(arguments: [false, true]) func nat(keep: Bool) throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                _ = try b.serve(nil, "echo.py", "7000", "plain")
                if keep { try a.shell("nft add table inet keep; nft 'add chain inet keep o { type nat hook output priority 300; }'") }
                let load = try Stream(a, "web", to: "reviews", 9080, clients: 6, pause: 0)
                let probe = try Stream(a, "web", to: b.address, 7000, clients: 1, pause: 0.001)
                try load.succeeds(50)
                try probe.succeeds(50)
                let k = try a.killAgent()
                usleep(1_000_000)
                print("keep", keep, "probe", try probe.calls().filter { $0.ended > k }.count, "load", try load.calls().filter { $0.ended > k }.count, try load.calls().filter { $0.ended > k }.first as Any)
            }
        }
    }
}
