import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

final class BackgroundTests: DemoTestCase {
    func testAPollTellsOfMessagesMembersAndRotation() async throws {
        let alice = try await phone("Alice", foreground: false)
        let bob = try await phone("Bob", foreground: false)
        let id = try await create(alice, "Bamboo")
        _ = try await join(bob, link(alice, id))
        let nothing = try await bob.poll(budget: 10)
        XCTAssertEqual(nothing, [])

        try await send(alice, id, ["one", "two"])
        let first = try await bob.poll(budget: 10)
        XCTAssertEqual(
            first,
            [
                .messages(channel: id, name: "Bamboo", count: 2, author: "Alice", text: "two"),
                .joined(channel: id, name: "Bamboo", member: "Alice"),
            ]
        )
        XCTAssertEqual(first.map(\.channel), [id, id])
        let again = try await bob.poll(budget: 10)
        XCTAssertEqual(again, [], "nothing is told twice")

        try await send(bob, id, ["three"])
        _ = try await alice.poll(budget: 10)
        let members = MembersModel(client: try XCTUnwrap(alice.client), id: id)
        let rotated = await members.rotate()
        _ = try await alice.poll(budget: 10)
        let second = try await bob.poll(budget: 10)
        XCTAssertEqual(second, [.rotated(channel: try XCTUnwrap(rotated), name: "Bamboo")])
    }

    func testMutedChannelsStaySilent() async throws {
        let alice = try await phone("Alice", foreground: false)
        let bob = try await phone("Bob", foreground: false)
        let id = try await create(alice, "Bamboo")
        _ = try await join(bob, link(alice, id))
        await ChatModel(client: try XCTUnwrap(bob.client), id: id).mute(true)
        try await send(alice, id, ["one"])
        let told = try await bob.poll(budget: 10)
        XCTAssertEqual(told, [])
        await bob.refresh()
        XCTAssertEqual(bob.channels.first?.unread, 1, "it came all the same")
    }

    func testAPollAfterALaunchInTheBackground() async throws {
        let vault = MemoryVault()
        let before = newPhone("Alice", vault: vault)
        await before.create(name: "Alice", node: node.link)
        await before.close()

        let woken = newPhone("Alice", vault: vault)
        let none = try await woken.poll(budget: 10)
        XCTAssertEqual(none, [], "without a profile there is nothing to tell")
        // The job and the first view may both open it.
        async let other: Void = woken.start()
        await woken.start()
        await other
        let told = try await woken.poll(budget: 10)
        XCTAssertEqual(told, [])
        XCTAssertEqual(woken.phase, .ready)
        XCTAssertNil(woken.failure)
    }

    func testAPollThatFailsIsForTheJobToTell() async throws {
        let alice = try await phone("Alice", foreground: false)
        let client = try XCTUnwrap(alice.client)
        let late = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await alice.poll(budget: 10)
        }
        guard case .failure(is CancellationError) = await late.result else { return XCTFail("it was cancelled") }

        try await client.suspend()
        let suspended = await failure { try await alice.poll(budget: 10) }
        guard case .Suspended = suspended else { return XCTFail("\(String(describing: suspended))") }

        try await client.shutdown()
        let closed = await failure { try await alice.poll(budget: 10) }
        guard case .Closed = closed else { return XCTFail("\(String(describing: closed))") }
        XCTAssertNil(alice.failure, "nothing pops up later")
    }

    func testWhatIsOnTheScreenGoesOnAfterTheBackground() async throws {
        let alice = try await phone("Alice")
        let bob = try await phone("Bob")
        let id = try await create(alice, "Bamboo")
        _ = try await join(bob, link(alice, id))
        let there = ChatModel(client: try XCTUnwrap(bob.client), id: id)
        let shown = watch { await there.watch() }
        try await eventually("it is shown") { there.summary != nil }

        // As the app's lifecycle does; a view that is still there hears of it as the end of its messages.
        let client = try XCTUnwrap(bob.client)
        client.setAppState(state: .background)
        try await client.suspend()
        await there.rename("Forest")
        await bob.refresh()
        shown.cancel()
        await shown.value
        XCTAssertNil(there.failure, "nobody looks, so nothing is told")
        XCTAssertNil(bob.failure)

        let here = try chat(alice, id)
        here.draft = "hello"
        await here.send()
        try await eventually("it waits at the node") { here.messages.map(\.state) == [.atNode] }
        try await client.resume()
        let told = try await bob.poll(budget: 10)
        let message = Announcement.messages(channel: id, name: "Bamboo", count: 1, author: "Alice", text: "hello")
        XCTAssertTrue(told.contains(message), "\(told)")

        client.setAppState(state: .foreground)
        watch { await there.watch() }
        try await eventually("Bob reads it") { there.messages.map(\.text) == ["hello"] }
        XCTAssertNil(there.failure)
        XCTAssertNil(bob.failure)
    }

    /// The error of the library that something fails with.
    private func failure<Value>(_ work: () async throws -> Value) async -> AilurusError? {
        do {
            _ = try await work()
            return nil
        } catch {
            return error as? AilurusError
        }
    }

    /// Sends texts and polls once.
    private func send(_ phone: AppModel, _ id: ChannelId, _ texts: [String]) async throws {
        let chat = ChatModel(client: try XCTUnwrap(phone.client), id: id)
        for text in texts {
            chat.draft = text
            await chat.send()
        }
        _ = try await phone.poll(budget: 10)
        XCTAssertNil(chat.failure)
        XCTAssertNil(phone.failure)
    }
}
