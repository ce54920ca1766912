import Ailurus
import Foundation
import XCTest

/// Listeners and log sinks that misbehave.
final class CallbackTests: XCTestCase {
    override class func setUp() {
        // It takes half a minute, in which other tests run.
        _ = BlockedVault.outcome
    }

    func testListenersThatThrowBlockAndCallBack() async throws {
        let (alice, bob) = (try await phone("Alice"), try await phone("Bob"))
        let ours = try await alice.createChannel(name: "family")
        let theirs = try await bob.join(link: try await ours.link(access: .full))
        let (thrown, blocked, called) = (Counter(), Counter(), Shared<[String]>([]))
        let gate = DispatchSemaphore(value: 0)
        let subscriptions = [
            bob.listen(listener: Ear { _ in
                thrown.next()
                throw Broken("a listener that throws")
            }),
            bob.listen(listener: Ear { _ in
                blocked.next()
                gate.wait()
            }),
            bob.listen(listener: Ear { event in
                guard case .received(let message) = event else { return }
                let done = DispatchSemaphore(value: 0)
                Task {
                    let texts = try await theirs.texts()
                    called.change { $0 = texts.contains(message.text) ? $0 + [message.text] : $0 }
                    done.signal()
                }
                done.wait()
            }),
        ]
        for number in 1...5 { _ = try await ours.send(text: "\(number)") }
        _ = try await alice.syncOnce(budget: 10)
        _ = try await bob.syncOnce(budget: 10)
        try await eventually("the one that throws hears all") { thrown.value >= 5 }
        try await eventually("the one that calls back hears all") { called.value == ["1", "2", "3", "4", "5"] }
        XCTAssertEqual(blocked.value, 1)
        let took = try await seconds { try await bob.shutdown() }
        XCTAssertLessThan(took, 3, "a listener that blocks holds up nothing")
        subscriptions.forEach { $0.stop() }
        gate.signal()
    }

    func testListenerHearsNothingOnceStopped() async throws {
        let alice = try await phone("Alice")
        let channel = try await alice.createChannel(name: "family")
        let heard = Counter()
        let subscription = alice.listen(listener: Ear { _ in heard.next() })
        subscription.stop()
        _ = try await channel.send(text: "hello")
        _ = try await alice.syncOnce(budget: 10)
        await pause(0.2)
        XCTAssertEqual(heard.value, 0)
    }

    func testLogSink() async throws {
        let records = Shared<[LogRecord]>([])
        let sink = Sink { record in
            records.change { $0.append(record) }
            throw Broken("a sink that throws")
        }
        try setLogSink(level: .debug, sink: sink)
        defer { try? setLogSink(level: .error, sink: nil) }
        let alice = try await phone("Alice")
        let failing = alice.listen(listener: Ear { _ in throw Broken("heard") })
        _ = try await alice.createChannel(name: "secret name").send(text: "secret text")
        _ = try await alice.syncOnce(budget: 10)
        try await eventually("there are records") { records.value.contains { $0.message.contains("heard") } }
        failing.stop()
        for record in records.value {
            XCTAssertTrue(record.target.hasPrefix("ailurus"), record.target)
            XCTAssertFalse(record.message.contains("secret"), record.message)
        }
    }
}

private final class Ear: Listener {
    private let hear: @Sendable (Event) throws -> Void
    init(_ hear: @escaping @Sendable (Event) throws -> Void) { self.hear = hear }
    func onEvent(event: Event) throws { try hear(event) }
}

private final class Sink: LogSink {
    private let take: @Sendable (LogRecord) throws -> Void
    init(_ take: @escaping @Sendable (LogRecord) throws -> Void) { self.take = take }
    func log(record: LogRecord) throws { try take(record) }
}
