import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

final class SettingsTests: DemoTestCase {
    func testNodesStorageAndName() async throws {
        let alice = newPhone("Alice")
        await alice.create(name: "Alice", node: "")
        let settings = SettingsModel(client: try XCTUnwrap(alice.client), profile: alice.profile)
        await settings.load()
        XCTAssertEqual(settings.name, "Alice")
        XCTAssertEqual(settings.nodes, [])
        XCTAssertGreaterThan(settings.storage, 4096)

        let wrong = await settings.addNode("hello")
        XCTAssertFalse(wrong)
        XCTAssertNotNil(settings.failure)
        let added = await settings.addNode(node.link)
        XCTAssertTrue(added)
        XCTAssertEqual(settings.nodes.map(\.link), [node.link])
    }

    func testABackupOpensOnANewPhone() async throws {
        let alice = try await phone("Alice", foreground: false)
        let id = try await create(alice, "Bamboo")
        let settings = SettingsModel(client: try XCTUnwrap(alice.client), profile: alice.profile)
        await settings.exportBackup(to: folder, passphrase: "correct horse")
        XCTAssertNil(settings.failure)
        let backup = try XCTUnwrap(settings.backup)
        await alice.close()

        let wrong = newPhone("Wrong")
        await wrong.start()
        await wrong.restore(backup: backup, passphrase: "wrong horse")
        guard case .WrongKey = try XCTUnwrap(wrong.failure?.error) else {
            return XCTFail("\(String(describing: wrong.failure))")
        }
        XCTAssertEqual(wrong.phase, .welcome)

        let new = newPhone("New")
        await new.restore(backup: backup, passphrase: "correct horse")
        XCTAssertEqual(new.phase, .ready)
        await new.refresh()
        XCTAssertEqual(new.channels.map(\.id), [id])

        settings.discardBackup()
        XCTAssertNil(settings.backup)
        XCTAssertFalse(FileManager.default.fileExists(atPath: backup.path))
    }

    func testABackupThatCannotBeWrittenIsTold() async throws {
        let alice = try await phone("Alice", foreground: false)
        let settings = SettingsModel(client: try XCTUnwrap(alice.client), profile: alice.profile)
        await settings.exportBackup(to: folder.appendingPathComponent("nowhere"), passphrase: "correct horse")
        XCTAssertNotNil(settings.failure)
        XCTAssertNil(settings.backup)
    }
}
