import Ailurus
import Foundation
import XCTest

/// Calls that are cancelled, run at once, or meet a client that is suspended, shut down or dropped.
final class LifecycleTests: XCTestCase {
    func testCancelledTasksEndAtOnce() async throws {
        let hole = try BlackHole()
        let alice = try await phone("Alice", nodes: [try hole.link()])
        let id = try await alice.createChannel(name: "family").send(text: "hello")
        let sync = Task { try await alice.syncOnce(budget: 60) }
        let push = Task { try await alice.onPush(payload: Data()) }
        let wait = Task { try await alice.waitDelivered(id: id, timeout: 60) }
        await pause(0.3)
        let took = await seconds {
            sync.cancel()
            push.cancel()
            wait.cancel()
            for task in [await sync.result.failure, await push.result.failure, await wait.result.failure] {
                XCTAssertTrue(task is CancellationError, "\(String(describing: task))")
            }
        }
        XCTAssertLessThan(took, 1)
        let late = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await alice.syncOnce(budget: 60)
        }
        let failure = await late.result.failure
        XCTAssertTrue(failure is CancellationError)

        let cancellation = Cancellation()
        cancellation.cancel()
        let explicit = await kind { try await alice.syncOnce(budget: 60, cancellation: cancellation) }
        XCTAssertEqual(explicit, "Cancelled")
        equal(try await alice.channels().map(\.name), ["family"], "the client is usable")
        let state = try await alice.message(id: id).state
        XCTAssertEqual(state, .queued)
        let budget = try await seconds { _ = try await alice.syncOnce(budget: 0.5) }
        XCTAssertLessThan(budget, 5)
        for odd in [-1, 0, Double.nan] {
            _ = try await alice.waitDelivered(id: id, timeout: odd)
        }
    }

    func testManyCallsAtOnce() async throws {
        let alice = try await phone("Alice")
        let channel = try await alice.createChannel(name: "family")
        let names = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<200 {
                group.addTask {
                    if number % 4 == 0 { _ = try await channel.send(text: "\(number)") }
                    return try await number % 2 == 0 ? alice.name() : channel.summary().name
                }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        XCTAssertEqual(names, ["Alice", "family"])
        equal(try await channel.texts().count, 50)
    }

    func testShutdownEndsRunningCalls() async throws {
        let hole = try BlackHole()
        let alice = try await phone("Alice", nodes: [try hole.link()])
        let channel = try await alice.createChannel(name: "family")
        let id = try await channel.send(text: "hello")
        let sync = Task { await kind { try await alice.syncOnce(budget: 60) } }
        let wait = Task { await kind { try await alice.waitDelivered(id: id, timeout: 60) } }
        await pause(0.3)
        let took = try await seconds {
            try await alice.shutdown()
            let ends = [await sync.value, await wait.value]
            XCTAssertEqual(ends, ["Closed", "Closed"])
        }
        XCTAssertLessThan(took, 3)

        let after = [
            await kind { try await alice.channels() },
            await kind { try await alice.createChannel(name: "more") },
            await kind { try await alice.syncOnce(budget: 1) },
            await kind { try await alice.resume() },
            await kind { try await channel.send(text: "more") },
            await kind { try await channel.messages(page: .latest, limit: 1) },
        ]
        XCTAssertEqual(after, Array(repeating: "Closed", count: after.count))
        alice.setAppState(state: .foreground)
        alice.setNetwork(state: NetworkState(kind: .offline, metered: false, roaming: false))
        alice.setPower(state: PowerState(batteryPercent: nil, charging: false, saver: true, doze: false, bucket: .active))
        for await event in alice.events { XCTFail("\(event)") }
        try await alice.shutdown()
    }

    func testSuspendedClientHoldsNoFile() async throws {
        let folder = temporary()
        let alice = try await phone("Alice", folder: folder)
        let channel = try await alice.createChannel(name: "family")
        alice.setAppState(state: .foreground)
        XCTAssertFalse(try openFiles(in: folder).isEmpty, "this test sees open files")
        try await alice.suspend()
        XCTAssertEqual(try openFiles(in: folder), [])
        let meanwhile = [
            await kind { try await channel.send(text: "now") },
            await kind { try await alice.channels() },
            await kind { try await alice.syncOnce(budget: 1) },
        ]
        XCTAssertEqual(meanwhile, ["Suspended", "Suspended", "Suspended"])
        try await alice.suspend()
        try await alice.resume()
        try await alice.resume()
        let id = try await channel.send(text: "later")
        alice.setAppState(state: .foreground)
        for try await _ in alice.states(of: id) {}
        let state = try await alice.message(id: id).state
        XCTAssertEqual(state, .atNode)
    }

    func testTwoClientsOnOneFolder() async throws {
        let folder = temporary()
        let one = try await phone("Alice", folder: folder)
        let other = try await Client.open(folder: folder, key: key)
        let before = try await other.dataVersion()
        let channel = try await one.createChannel(name: "family")
        _ = try await channel.send(text: "hello")
        equal(try await other.findChannel(nameOrPrefix: "family").texts(), ["hello"])
        let after = try await other.dataVersion()
        XCTAssertNotEqual(before, after)
        try await one.shutdown()
        equal(try await other.name(), "Alice", "the other goes on")
    }

    func testDroppedClientShutsDown() async throws {
        let hole = try BlackHole()
        var alice: Client? = try await phone("Alice", nodes: [try hole.link()])
        let channel = try await alice!.createChannel(name: "family")
        _ = try await channel.send(text: "hello")
        let events = alice!.events
        let sync = Task { [alice] in await kind { try await alice!.syncOnce(budget: 1) } }
        await pause(0.2)
        alice = nil
        // A call that runs keeps its client, as any object in Swift; after it there is none.
        let outcome = await sync.value
        XCTAssertEqual(outcome, "none")
        for await _ in events {}
        try await eventually("its channel is closed") {
            await kind { try await channel.summary() } == "Closed"
        }
    }

    private func openFiles(in folder: String) throws -> [String] {
        let files = FileManager.default
        return try files.contentsOfDirectory(atPath: "/proc/self/fd")
            .compactMap { try? files.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
            .filter { $0.hasPrefix(folder) }
    }
}

extension Result {
    /// What it failed with.
    var failure: Failure? {
        guard case .failure(let error) = self else { return nil }
        return error
    }
}
