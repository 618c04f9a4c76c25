import Glibc

// What libFuzzer calls. The target is chosen by WEFT_FUZZ_TARGET; Scripts/fuzz sets it.

private let chosen: FuzzTarget = {
    let name = getenv("WEFT_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = FuzzTarget.named(name) else {
        fatalError("WEFT_FUZZ_TARGET is \"\(name)\" and none of: \(FuzzTarget.all.map(\.name).joined(separator: " "))")
    }
    return target
}()

/// With WEFT_FUZZ_SEEDS, a directory, writes the target's seeds there.
@c(LLVMFuzzerInitialize)
public func fuzzInitialize(_ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutableRawPointer) -> CInt {
    guard let directory = getenv("WEFT_FUZZ_SEEDS").map({ String(cString: $0) }) else { return 0 }
    for (number, seed) in chosen.seeds().enumerated() {
        guard let file = fopen("\(directory)/seed-\(number)", "w") else { fatalError("cannot write to \(directory)") }
        fwrite(seed, 1, seed.count, file)
        fclose(file)
    }
    return 0
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    chosen.run(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
}
