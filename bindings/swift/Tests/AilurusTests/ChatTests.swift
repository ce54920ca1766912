import Ailurus
import Foundation
import XCTest

/// The main job, between phones that have one super node.
final class ChatTests: XCTestCase {
    func testJoinByQrAndChatBothWays() async throws {
        let alice = try await phone("Alice")
        let family = try await alice.createChannel(name: "family")
        let link = try await family.link(access: .full)
        let bob = try await phone("Bob")
        let joined = try await bob.join(link: try readFrame(of: drawQr(text: link)))
        XCTAssertEqual(joined.id(), family.id())

        alice.setAppState(state: .foreground)
        bob.setAppState(state: .foreground)
        _ = try await family.send(text: "hello Bob")
        try await eventually("Bob hears") { try await joined.texts().contains("hello Bob") }
        _ = try await joined.send(text: "hello Alice")
        try await eventually("Alice hears") { try await family.texts().contains("hello Alice") }
        let heard = try await joined.messages(page: .latest, limit: 10).first { $0.text == "hello Bob" }
        XCTAssertEqual(heard?.authorName, "Alice")
        XCTAssertEqual(heard?.state, .received)
        equal(try await joined.members().map(\.name).sorted(), ["Alice", "Bob"])
        try await alice.shutdown()
        try await bob.shutdown()
    }

    func testJoinByPng() async throws {
        let alice = try await phone("Alice")
        let link = try await alice.createChannel(name: "family").link(access: .full)
        let png = try drawQrPng(text: link, modulePixels: 4)
        XCTAssertEqual(try readQrPng(png: png), [link])
        guard case .channel(let name, .full, false) = try inspectLink(text: " ailurus:\(link)\n") else {
            return XCTFail("a channel")
        }
        XCTAssertEqual(name, "family")
        let carol = try await phone("Carol")
        let summary = try await carol.join(link: link, name: "kin").summary()
        XCTAssertEqual(summary.name, "kin")
    }

    func testOfflineCatchUp() async throws {
        let (alice, bob) = (try await phone("Alice"), try await phone("Bob"))
        let ours = try await alice.createChannel(name: "family")
        let theirs = try await bob.join(link: try await ours.link(access: .full))
        let wakeup = try await bob.nextWakeup()
        XCTAssertNotNil(wakeup, "in the background there is a time to sync at")
        for number in 1...20 { _ = try await ours.send(text: "while you were away \(number)") }
        let sent = try await alice.syncOnce(budget: 10)
        XCTAssertEqual(sent.nodesReached, 1)
        let report = try await bob.syncOnce(budget: 10)
        XCTAssertTrue(report.complete)
        XCTAssertEqual(report.messages.map(\.text), (1...20).map { "while you were away \($0)" })
        equal(try await theirs.summary().unread, 20)
        try await theirs.markRead()
        equal(try await theirs.summary().unread, 0)
    }

    func testReadOnlyAndWriteOnlyAreRefused() async throws {
        let (alice, bob, carol) = (try await phone("Alice"), try await phone("Bob"), try await phone("Carol"))
        let ours = try await alice.createChannel(name: "news")
        let reader = try await bob.join(link: try await ours.link(access: .read))
        let writer = try await carol.join(link: try await ours.link(access: .write))
        let refused = await kind { try await reader.send(text: "no") }
        XCTAssertEqual(refused, "NotAllowed")
        let wider = await kind { try await reader.link(access: .full) }
        XCTAssertEqual(wider, "NotAllowed")
        let reading = await kind { try await writer.link(access: .read) }
        XCTAssertEqual(reading, "NotAllowed")
        let admin = await kind { try await reader.rotate(without: []) }
        XCTAssertEqual(admin, "NotAdmin")

        _ = try await ours.send(text: "for readers")
        _ = try await writer.send(text: "from a writer")
        _ = try await alice.syncOnce(budget: 10)
        _ = try await carol.syncOnce(budget: 10)
        _ = try await bob.syncOnce(budget: 10)
        equal(try await reader.texts().sorted(), ["for readers", "from a writer"])
        equal(try await writer.texts(), ["from a writer"], "a writer reads nothing but its own")
    }

    func testQuickStartOfTheReadme() async throws {
        let shown = Shared<QrCode?>(nil)
        let run = Task {
            try await quickStart(folder: temporary(), key: key, node: Node.shared.link) { code in
                shown.change { $0 = code }
            }
        }
        try await eventually("the code is shown") { shown.value != nil }
        let bob = try await phone("Bob")
        let family = try await bob.join(link: try readFrame(of: shown.value!))
        bob.setAppState(state: .foreground)
        try await eventually("the greeting arrives") { try await family.texts() == ["hello"] }
        run.cancel()
        try await run.value
        let block = try String(contentsOf: repository.appendingPathComponent("README.md"), encoding: .utf8)
            .components(separatedBy: "```swift\n")[1].components(separatedBy: "\n```")[0]
        XCTAssertLessThanOrEqual(block.components(separatedBy: "\n").count, 10)
    }

    /// Reads a code as a camera would see it: four pixels a module, a white margin of four modules, and rows that are
    /// longer than the picture is wide.
    private func readFrame(of code: QrCode) throws -> String {
        let (scale, margin, modules) = (4, 4, Int(code.width))
        let width = (modules + 2 * margin) * scale
        let stride = width + 13
        var luma = Data(repeating: 235, count: stride * width)
        for y in 0..<(modules * scale) {
            for x in 0..<(modules * scale) where code.modules[y / scale * modules + x / scale] == 1 {
                luma[(y + margin * scale) * stride + x + margin * scale] = 16
            }
        }
        let texts = try readQrLuma(
            width: UInt32(width), height: UInt32(width), rowStride: UInt32(stride), luma: luma)
        return try XCTUnwrap(texts.first)
    }
}
