import Glibc
import Platform
import Testing

@Suite("Files that only root can change")
struct RootOwnedTests {
    @Test("What the system came with is root's", arguments: ["/usr/bin/env", "/bin/sh", "/etc/passwd"])
    func system(_ path: String) { #expect(RootOwned.obstacle(path) == nil) }

    @Test("What is no file, or none that is there, says so")
    func missing() {
        #expect(RootOwned.obstacle("env") == "env is no absolute path")
        #expect(RootOwned.obstacle("/usr/nowhere/at/all") == "/usr/nowhere/at/all: No such file or directory")
        #expect(RootOwned.obstacle("/usr/bin") == "/usr/bin is no regular file")
    }

    @Test("A file, or a directory on the way to it, that others can write is told", .enabled(if: geteuid() == 0, "needs root"))
    func writable() throws {
        // Not under /tmp, where everybody may write.
        var template = Array("/var/lib/weft-root-owned-XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        let (inner, file, link) = ("\(directory)/d", "\(directory)/d/f", "\(directory)/link")
        defer {
            unlink(link)
            unlink(file)
            rmdir(inner)
            rmdir(directory)
        }
        mkdir(inner, 0o755)
        close(open(file, O_WRONLY | O_CREAT, 0o755))
        symlink(file, link)
        #expect(RootOwned.obstacle(file) == nil && RootOwned.obstacle(link) == nil)
        chmod(file, 0o775)
        #expect(RootOwned.obstacle(file) == "\(file) can be changed by others than root")
        #expect(RootOwned.obstacle(link) == "\(file) can be changed by others than root")
        chmod(file, 0o755)
        chmod(inner, 0o757)
        #expect(RootOwned.obstacle(link) == "\(inner) can be changed by others than root")
        chmod(inner, 0o755)
        chown(inner, 65534, 0)
        #expect(RootOwned.obstacle(file) == "\(inner) belongs to user 65534, not to root")
        chown(inner, 0, 0)
        lchown(link, 65534, 0)
        #expect(RootOwned.obstacle(link) == "\(link) belongs to user 65534, not to root")
    }
}
