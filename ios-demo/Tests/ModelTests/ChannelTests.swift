import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

final class ChannelTests: DemoTestCase {
    func testAQrCodeIsScannedAndBothChat() async throws {
        let alice = try await phone("Alice")
        let bob = try await phone("Bob")
        let id = try await create(alice, "Bamboo")
        XCTAssertEqual(alice.channels.map(\.name), ["Bamboo"])

        let share = ShareModel(client: try XCTUnwrap(alice.client), id: id, own: .full)
        await share.load()
        let frame = try frame(of: XCTUnwrap(share.code))
        let scan = ScanModel()
        scan.take(try XCTUnwrap(frame.firstLink()))
        let offer = try XCTUnwrap(scan.found)
        XCTAssertEqual(offer.text, share.link)
        XCTAssertEqual(offer.info, .channel(name: "Bamboo", access: .full, redpanda: false))
        XCTAssertTrue(bob.channels.isEmpty, "nothing happens before consent")
        let accepted = await bob.accept(offer)
        XCTAssertEqual(accepted, id)

        let here = try chat(alice, id)
        here.draft = "hello"
        await here.send()
        XCTAssertEqual(here.draft, "")
        XCTAssertEqual(share.choices, [.full, .read, .write])
        try await eventually("Alice sees it delivered") { here.messages.map(\.state) == [.atNode] }
        try await eventually("Bob's list counts it") { bob.channels.first?.unread == 1 }

        let there = try chat(bob, id)
        try await eventually("Bob reads it") { there.messages.map(\.text) == ["hello"] }
        XCTAssertEqual(there.messages.first?.state, .received)
        XCTAssertEqual(there.messages.first?.authorName, "Alice")
        try await eventually("it is marked as read") { there.summary?.unread == 0 }
        there.draft = "hello yourself"
        await there.send()
        try await eventually("Alice reads the answer") { here.messages.map(\.text) == ["hello", "hello yourself"] }
        XCTAssertNil(here.failure)
        XCTAssertNil(there.failure)
    }

    func testWhatIsNotShownStaysUnread() async throws {
        let alice = try await phone("Alice")
        let bob = try await phone("Bob")
        let id = try await create(alice, "Bamboo")
        _ = try await join(bob, link(alice, id))
        let here = try chat(alice, id)
        for text in ["one", "two"] {
            here.draft = text
            await here.send()
        }
        try await eventually("both came") { bob.channels.first?.unread == 2 }

        let there = ChatModel(client: try XCTUnwrap(bob.client), id: id)
        let shown = watch { await there.watch() }
        try await eventually("both are shown and read") { there.summary?.unread == 0 }
        shown.cancel()
        await shown.value

        here.draft = "three"
        await here.send()
        try await eventually("the third is unread") { bob.channels.first?.unread == 1 }
        XCTAssertEqual(there.messages.count, 2, "the chat is not on the screen")
    }

    func testWhatWaitsIsShownAsQueuedAndStays() async throws {
        let alice = try await phone("Alice", foreground: false)
        let id = try await create(alice, "Bamboo")
        let chat = try chat(alice, id)
        chat.draft = "later"
        await chat.send()
        try await eventually("it waits") { chat.messages.map(\.state) == [.queued] }
        try XCTUnwrap(alice.client).setAppState(state: .foreground)
        try await eventually("it went") { chat.messages.map(\.state) == [.atNode] }
    }

    func testEarlierMessagesAreShownWhenAskedFor() async throws {
        let alice = try await phone("Alice", foreground: false)
        let id = try await create(alice, "Bamboo")
        let channel = try await XCTUnwrap(alice.client).channel(id: id)
        for number in 1...60 { _ = try await channel.send(text: "\(number)") }
        let chat = ChatModel(client: try XCTUnwrap(alice.client), id: id)
        watch { await chat.watch() }
        try await eventually("the latest 50") { chat.messages.count == 50 }
        XCTAssertTrue(chat.hasEarlier)
        chat.showEarlier()
        watch { await chat.watch() }
        try await eventually("all") { chat.messages.count == 60 }
        XCTAssertFalse(chat.hasEarlier)
        XCTAssertEqual(chat.messages.first?.text, "1")
    }

    func testReadersCannotWriteAndSeeWhy() async throws {
        let alice = try await phone("Alice")
        let bob = try await phone("Bob")
        let id = try await create(alice, "Bamboo")
        let there = try chat(bob, await join(bob, link(alice, id, .read)))
        try await eventually("it is open") { there.summary != nil }
        XCTAssertFalse(there.canWrite)
        there.draft = "hello"
        await there.send()
        guard case .NotAllowed = try XCTUnwrap(there.failure?.error) else {
            return XCTFail("\(String(describing: there.failure))")
        }
        XCTAssertEqual(there.draft, "hello", "what was not sent is not lost")
    }

    func testAChannelIsRenamedMutedAndLeft() async throws {
        let alice = try await phone("Alice")
        let id = try await create(alice, "Bamboo")
        let chat = try chat(alice, id)
        await chat.rename("Forest")
        await chat.mute(true)
        XCTAssertEqual(chat.summary?.name, "Forest")
        XCTAssertEqual(chat.summary?.muted, true)
        let left = await chat.leave()
        XCTAssertTrue(left)
        await alice.refresh()
        XCTAssertTrue(alice.channels.isEmpty)
        XCTAssertNil(chat.failure)
    }

    func testADeletedMessageIsGone() async throws {
        let alice = try await phone("Alice", foreground: false)
        let id = try await create(alice, "Bamboo")
        let chat = try chat(alice, id)
        chat.draft = "oops"
        await chat.send()
        try await eventually("it is shown") { chat.messages.count == 1 }
        await chat.delete(chat.messages[0].id)
        XCTAssertNil(chat.failure)
        XCTAssertTrue(chat.messages.isEmpty)
    }

    func testAnEmptyNameIsToldAsASentence() async throws {
        let alice = try await phone("Alice", foreground: false)
        let model = CreateModel(client: try XCTUnwrap(alice.client))
        let made = await model.create()
        XCTAssertNil(made)
        guard case .BadInput(let sentence) = try XCTUnwrap(model.failure?.error) else {
            return XCTFail("\(String(describing: model.failure))")
        }
        XCTAssertEqual(model.failure?.sentence, sentence)
    }

    /// The code as a camera sees it: some pixels a module, and rows that are longer than the picture is wide.
    private func frame(of code: QrCode) throws -> LumaFrame {
        let scale = 4
        let modules = Int(code.width)
        let side = modules * scale
        let bytesPerRow = side + 13
        var luma = Data(repeating: 127, count: bytesPerRow * side)
        for y in 0..<side {
            for x in 0..<side {
                luma[y * bytesPerRow + x] = code.modules[(y / scale) * modules + x / scale] == 1 ? 20 : 230
            }
        }
        return LumaFrame(width: side, height: side, bytesPerRow: bytesPerRow, luma: luma)
    }
}
