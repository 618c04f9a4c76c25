import MeshModel
import Platform

/// When one certificate is asked for again. Pure: times and random numbers are arguments.
///
/// A certificate is renewed at half of its life, a random tenth of its life earlier at most, so that nodes that joined together don't ask together.
/// After a failure the wait doubles from 0.5 s to 150 s, each shortened at random by up to a half; the old certificate stays in use.
package struct RenewalSchedule: Sendable, Equatable {
    package static let firstRetry = Duration.milliseconds(500)
    package static let longestRetry = Duration.seconds(150)

    /// When to ask, or that an answer is awaited.
    private enum Phase: Equatable { case due(WallTime), asking }
    private var phase: Phase
    /// The certificate held; nil before the first.
    package private(set) var validity: ClosedRange<WallTime>?
    /// Failures since the last success.
    package private(set) var failures = 0

    /// No certificate yet: due at once.
    package init(now: WallTime) { phase = .due(now) }

    /// A certificate from the last run.
    /// - Parameter random: 0 ..< 1.
    package init(notBefore: WallTime, notAfter: WallTime, random: Double) {
        phase = .asking
        issued(notBefore: notBefore, notAfter: notAfter, random: random)
    }

    /// When to ask; nil while an answer is awaited.
    package var due: WallTime? {
        if case .due(let time) = phase { return time }
        return nil
    }
    package func isDue(_ now: WallTime) -> Bool { due.map { $0 <= now } ?? false }

    /// The request goes out.
    package mutating func asked() { phase = .asking }

    /// Somebody wants a new certificate before its time. An answer that is awaited is one already.
    package mutating func hasten(_ now: WallTime) {
        if case .due = phase { phase = .due(now) }
    }

    package mutating func issued(notBefore: WallTime, notAfter: WallTime, random: Double) {
        let life = max(0, notAfter.seconds - notBefore.seconds)
        validity = notBefore...max(notBefore, notAfter)
        failures = 0
        phase = .due(WallTime(seconds: notBefore.seconds + life / 2 - Int64(Double(life) * 0.1 * random)))
    }

    package mutating func failed(now: WallTime, random: Double) {
        let wait = Self.backoff(failures: failures, random: random)
        failures += 1
        let nanoseconds = Int64(now.nanoseconds) + wait.nanoseconds
        phase = .due(WallTime(seconds: now.seconds + nanoseconds / 1_000_000_000, nanoseconds: Int32(nanoseconds % 1_000_000_000)))
    }

    /// The wait after the failure that `failures` others came before.
    package static func backoff(failures: Int, random: Double) -> Duration {
        let full = failures >= 9 ? longestRetry : min(longestRetry, firstRetry * (1 << failures))
        return full * (1 - random / 2)
    }

    package enum State: String, Sendable { case missing, valid, expired }
    package func state(_ now: WallTime) -> State {
        guard let validity else { return .missing }
        return now < validity.upperBound ? .valid : .expired
    }
}
