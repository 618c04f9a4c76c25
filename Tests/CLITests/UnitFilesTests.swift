import Glibc
import ManagementAPI
import ManagementTestSupport
import Testing

@testable import weft

@Suite("A unit's drop-in")
struct UnitFilesTests {
    private let file = CaptureReport.DropIn(
        unit: "web.service", fileName: "50-weft.conf", text: "# Written by \"weft capture add web.service\"\n[Service]\n")

    @Test func `is written once and taken away with its folder`() throws {
        let scratch = Scratch()
        let units = UnitFiles(directory: scratch.path)
        #expect(try units.install(file))
        #expect(contents("\(scratch.path)/web.service.d/50-weft.conf") == file.text)
        var info = stat()
        #expect(stat("\(scratch.path)/web.service.d/50-weft.conf", &info) == 0 && info.st_mode & 0o777 == 0o644)
        #expect(try !units.install(file))
        #expect(try units.remove(file))
        #expect(try !units.remove(file))
        #expect(scratch.names() == [])
    }

    @Test func `takes the place of an older one of ours`() throws {
        let scratch = Scratch()
        let units = UnitFiles(directory: scratch.path)
        _ = try units.install(file)
        var newer = file
        newer.text += "NFTSet=x\n"
        #expect(try units.install(newer))
        #expect(contents("\(scratch.path)/web.service.d/50-weft.conf") == newer.text)
    }

    @Test func `of somebody else is neither overwritten nor removed`() throws {
        let scratch = Scratch()
        let units = UnitFiles(directory: scratch.path)
        mkdir("\(scratch.path)/web.service.d", 0o755)
        let path = "\(scratch.path)/web.service.d/50-weft.conf"
        let fd = open(path, O_WRONLY | O_CREAT, 0o644)
        #expect(write(fd, "[Unit]\n", 7) == 7)
        close(fd)
        #expect(throws: Failure.self) { try units.install(file) }
        #expect(try !units.remove(file))
        #expect(contents(path) == "[Unit]\n")
    }

    @Test func `leaves a folder with other files alone`() throws {
        let scratch = Scratch()
        let units = UnitFiles(directory: scratch.path)
        _ = try units.install(file)
        close(open("\(scratch.path)/web.service.d/other.conf", O_CREAT | O_WRONLY, 0o644))
        #expect(try units.remove(file))
        #expect(scratch.names() == ["web.service.d"])
    }

    @Test(arguments: [("../x", "a"), ("", "a"), ("a", "../b"), (".hidden", "a"), ("a/b", "c"), ("a", "")])
    func `cannot lead out of the directory`(_ unit: String, _ name: String) {
        #expect(throws: Failure.self) { try UnitFiles(directory: "/nowhere").path(.init(unit: unit, fileName: name, text: "")) }
    }

    @Test func `that cannot be written says why`() throws {
        let failure = #expect(throws: Failure.self) { try UnitFiles(directory: "/proc/nowhere").install(file) }
        #expect(failure?.message.contains("/proc/nowhere/web.service.d") == true)
    }
}
