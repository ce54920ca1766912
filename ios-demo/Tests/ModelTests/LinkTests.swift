import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

final class LinkTests: DemoTestCase {
    func testAnAilurusUrlOffersItsChannel() async throws {
        let alice = try await phone("Alice", foreground: false)
        let id = try await create(alice, "Bamboo")
        let share = ShareModel(client: try XCTUnwrap(alice.client), id: id, own: .full)
        share.access = .read
        await share.load()
        let text = try XCTUnwrap(share.sharedText)
        XCTAssertTrue(text.hasPrefix("ailurus:"))
        XCTAssertNotNil(URL(string: text), "the phone can open it")

        let bob = try await phone("Bob", foreground: false)
        bob.open(link: text)
        XCTAssertEqual(bob.offer?.info, .channel(name: "Bamboo", access: .read, redpanda: false))
        let joined = await bob.accept(try XCTUnwrap(bob.offer))
        XCTAssertNotNil(joined)
        XCTAssertNil(bob.offer)
        XCTAssertEqual(bob.channels.map(\.access), [.read])
    }

    func testARedpandaStringIsOfferedAsWhatItIs() async throws {
        let alice = try await phone("Alice", foreground: false)
        alice.open(link: " pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ6\n")
        XCTAssertEqual(alice.offer?.info, .channel(name: "", access: .full, redpanda: true))
        let joined = await alice.accept(try XCTUnwrap(alice.offer))
        XCTAssertNotNil(joined)
        XCTAssertEqual(alice.channels.map(\.redpanda), [true])
    }

    func testANodeLinkIsOfferedAndAdded() async throws {
        let alice = newPhone("Alice")
        await alice.create(name: "Alice", node: "")
        alice.open(link: node.link)
        guard case .node(_, let host, _) = try XCTUnwrap(alice.offer).info else { return XCTFail("no node") }
        XCTAssertEqual(host, "127.0.0.1")
        let joined = await alice.accept(try XCTUnwrap(alice.offer))
        XCTAssertNil(joined)
        let nodes = try await XCTUnwrap(alice.client).nodes()
        XCTAssertEqual(nodes.map(\.link), [node.link])
    }

    func testAnInvitationIsOfferedAndTaken() async throws {
        let alice = newPhone("Alice")
        await alice.create(name: "Alice", node: "")
        alice.open(link: "Come in: \(try node.invite()).")
        guard case .invitation(let id, _, _, _) = try XCTUnwrap(alice.offer).info else {
            return XCTFail("no invitation")
        }
        await alice.accept(try XCTUnwrap(alice.offer))
        XCTAssertNil(alice.failure)
        let nodes = try await XCTUnwrap(alice.client).nodes()
        XCTAssertEqual(nodes.map(\.id), [id])

        let bob = newPhone("Bob")
        await bob.create(name: "Bob", node: try node.invite())
        XCTAssertNil(bob.failure)
        let same = try await XCTUnwrap(bob.client).nodes()
        XCTAssertEqual(same.map(\.id), [id])
    }

    func testALinkThatCameBeforeTheProfileWaitsForIt() async throws {
        let alice = newPhone("Alice")
        alice.open(link: "ailurus:\(node.link)")
        XCTAssertNotNil(alice.offer)
        await alice.create(name: "Alice", node: "")
        XCTAssertNotNil(alice.offer)
    }

    func testALinkIsFoundAmongWordsAndPunctuation() async throws {
        let bob = try await phone("Bob", foreground: false)
        let alice = try await phone("Alice", foreground: false)
        let channel = try await link(alice, create(alice, "Bamboo"))
        for link in [channel, "ailurus:\(channel)", node.link, "ailurus:\(node.link)"] {
            let whole = try LinkOffer(text: link)
            XCTAssertEqual(whole.text, link)
            let messages = ["\(link),", "\(link).", "<\(link)>!", "“\(link)”。", "Join us: \(link)\nsee you"]
            for message in messages {
                XCTAssertEqual(try LinkOffer(text: message), whole, message)
            }
        }

        let scan = ScanModel()
        scan.text = "ailurus:\(channel), please"
        scan.takeText()
        XCTAssertNil(scan.failure)
        let joined = await bob.accept(try XCTUnwrap(scan.found))
        XCTAssertNotNil(joined)
    }

    func testOtherTextIsNoLink() async throws {
        let alice = newPhone("Alice")
        alice.open(link: "ailurus:hello")
        XCTAssertNil(alice.offer)
        guard case .BadLink = try XCTUnwrap(alice.failure?.error) else {
            return XCTFail("\(String(describing: alice.failure))")
        }

        let scan = ScanModel()
        scan.text = "pr7768EZp1Y8PwQhozCfacTNjL4iRxgJqcm8NDVuyvhfYJDwkzJFTtCZ7"
        scan.takeText()
        XCTAssertNil(scan.found)
        XCTAssertNotNil(scan.failure)
    }

    func testFramesWithoutACodeHoldNoLink() async {
        let grey = LumaFrame(width: 64, height: 48, bytesPerRow: 80, luma: Data(repeating: 128, count: 80 * 48))
        XCTAssertNil(grey.firstLink())
        let short = LumaFrame(width: 64, height: 48, bytesPerRow: 80, luma: Data(count: 10))
        XCTAssertNil(short.firstLink())
        let broken = LumaFrame(width: -1, height: 48, bytesPerRow: 80, luma: Data())
        XCTAssertNil(broken.firstLink())
    }
}
