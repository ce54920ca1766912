import Ailurus
import Foundation
import XCTest

/// Events, pages and states as sequences.
final class SequenceTests: XCTestCase {
    func testLatestFollowsTheChannel() async throws {
        let (alice, bob) = (try await phone("Alice"), try await phone("Bob"))
        let ours = try await alice.createChannel(name: "family")
        let theirs = try await bob.join(link: try await ours.link(access: .full))
        let other = try await bob.createChannel(name: "other")
        let pages = Shared<[[String]]>([])
        let following = Task {
            for try await page in theirs.latest(3) { pages.change { $0.append(page.map(\.text)) } }
        }
        try await eventually("the first page") { pages.value.count == 1 }
        XCTAssertEqual(pages.value, [[]])
        alice.setAppState(state: .foreground)
        bob.setAppState(state: .foreground)
        for number in 1...5 { _ = try await ours.send(text: "\(number)") }
        try await eventually("what others say") { pages.value.last == ["3", "4", "5"] }
        _ = try await theirs.send(text: "6")
        try await eventually("what we say") { pages.value.last == ["4", "5", "6"] }

        let before = pages.value.count
        let elsewhere = try await other.send(text: "elsewhere")
        for try await _ in bob.states(of: elsewhere) {}
        await pause(0.3)
        XCTAssertLessThanOrEqual(pages.value.count, before + 1, "another channel changes nothing here")

        _ = try await ours.rotate(without: [])
        _ = try await ours.send(text: "7")
        try await eventually("it goes on after a rotation") { pages.value.last?.contains("7") == true }
        try await bob.shutdown()
        try await following.value
    }

    func testLatestEndsWhenItsTaskIsCancelled() async throws {
        let alice = try await phone("Alice")
        let channel = try await alice.createChannel(name: "family")
        let following = Task { for try await _ in channel.latest(3) {} }
        await pause(0.1)
        following.cancel()
        try await following.value
        try await alice.shutdown()
    }

    func testStatesEndAtTheNode() async throws {
        let alice = try await phone("Alice")
        let id = try await alice.createChannel(name: "family").send(text: "hello")
        let states = Shared<[MessageState]>([])
        let following = Task {
            for try await state in alice.states(of: id) { states.change { $0.append(state) } }
        }
        try await eventually("the first state") { states.value == [.queued] }
        alice.setAppState(state: .foreground)
        try await following.value
        XCTAssertEqual(states.value, [.queued, .atNode])
    }

    func testHistoryGoesBackPageByPage() async throws {
        let alice = try await phone("Alice")
        let channel = try await alice.createChannel(name: "family")
        for number in 1...10 { _ = try await channel.send(text: "\(number)") }
        for size in [1, 3, 10, 100] {
            var texts: [String] = []
            for try await message in channel.history(pageSize: size) { texts.append(message.text) }
            XCTAssertEqual(texts, (1...10).reversed().map(String.init), "pages of \(size)")
        }
    }

    func testEventsAreKeptFromTheMomentTheyAreAskedFor() async throws {
        let alice = try await phone("Alice")
        let id = try await alice.createChannel(name: "family").send(text: "hello")
        let events = alice.events
        _ = try await alice.syncOnce(budget: 10)
        for await case .state(_, _, let was, .atNode) in events where was == id { break }
        try await alice.shutdown()
        for await _ in events {}
    }

    func testSlowConsumerIsToldWhatItMissed() async throws {
        let (alice, bob) = (try await phone("Alice"), try await phone("Bob"))
        let ours = try await alice.createChannel(name: "family")
        let theirs = try await bob.join(link: try await ours.link(access: .full))
        let slow = bob.events(buffering: 4)
        for number in 1...50 { _ = try await ours.send(text: "\(number)") }
        _ = try await alice.syncOnce(budget: 10)
        let took = try await seconds { _ = try await bob.syncOnce(budget: 10) }
        XCTAssertLessThan(took, 8, "a slow consumer holds nothing up")
        let there = try await theirs.texts().count
        XCTAssertEqual(there, 50)
        try await bob.shutdown()
        var seen: [Event] = []
        for await event in slow { seen.append(event) }
        guard case .lagged(let missed)? = seen.first else { return XCTFail("told first: \(seen)") }
        XCTAssertGreaterThanOrEqual(missed, 46)
        XCTAssertEqual(seen.count, 5)
    }
}
