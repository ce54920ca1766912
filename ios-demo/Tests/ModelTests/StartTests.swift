import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

final class StartTests: DemoTestCase {
    func testFirstStartMakesAProfileAndTheSecondOpensIt() async throws {
        let vault = MemoryVault()
        let phone = newPhone("Alice", vault: vault)
        XCTAssertEqual(phone.phase, .starting)
        await phone.start()
        XCTAssertEqual(phone.phase, .welcome)
        XCTAssertNil(phone.failure, "no profile is no failure")

        await phone.create(name: "Alice", node: node.link)
        XCTAssertEqual(phone.phase, .ready)
        await phone.close()

        let again = newPhone("Alice", vault: vault)
        await again.start()
        XCTAssertEqual(again.phase, .ready)
        let name = try await XCTUnwrap(again.client).name()
        XCTAssertEqual(name, "Alice")
    }

    func testAWrongNodeLinkIsToldAndNothingIsMade() async throws {
        let phone = newPhone("Alice")
        await phone.start()
        await phone.create(name: "Alice", node: "an123")
        guard case .BadLink = try XCTUnwrap(phone.failure?.error) else {
            return XCTFail("\(String(describing: phone.failure))")
        }
        XCTAssertEqual(phone.phase, .welcome)

        phone.failure = nil
        await phone.create(name: "Alice", node: node.link)
        XCTAssertEqual(phone.phase, .ready)
    }

    func testAWrongStorageKeyIsToldAsASentence() async throws {
        await newPhone("Alice").create(name: "Alice", node: node.link)
        let phone = newPhone("Alice", vault: MemoryVault(key: Data(repeating: 7, count: 32)))
        await phone.start()
        guard case .closed(let failure) = phone.phase else { return XCTFail("\(phone.phase)") }
        guard case .WrongKey = try XCTUnwrap(failure.error) else { return XCTFail(failure.sentence) }
        XCTAssertFalse(failure.sentence.contains("WrongKey"), failure.sentence)
        XCTAssertTrue(failure.sentence.contains(" "), failure.sentence)
    }
}
