import Ailurus
import Foundation
import XCTest

/// What callers and disks get wrong.
final class InputTests: XCTestCase {
    func testFolderThatCannotBeWritten() async throws {
        let file = temporary()
        try Data().write(to: URL(fileURLWithPath: file))
        for folder in ["\(file)/profile", "/proc/ailurus", "/dev/null"] {
            let failure = await kind { try await phone("Alice", folder: folder) }
            XCTAssertTrue(["Io", "ReadOnly", "NoProfile"].contains(failure), "\(folder): \(failure)")
        }
    }

    func testStorageKeys() async throws {
        let folder = temporary()
        let alice = try await phone("Alice", folder: folder)
        let wrong = await kind { try await Client.open(folder: folder, key: Data(repeating: 8, count: 32)) }
        XCTAssertEqual(wrong, "WrongKey")
        for length in [0, 31, 33] {
            let failure = await kind { try await Client.open(folder: folder, key: Data(count: length)) }
            XCTAssertEqual(failure, "BadInput")
        }
        let again = await kind { try await phone("Bob", folder: folder) }
        XCTAssertEqual(again, "ProfileExists")
        let missing = await kind { try await Client.open(folder: temporary(), key: key) }
        XCTAssertEqual(missing, "NoProfile")

        let other = Data(repeating: 9, count: 32)
        try await alice.changeStorageKey(key: other)
        try await alice.shutdown()
        let former = await kind { try await Client.open(folder: folder, key: key) }
        XCTAssertEqual(former, "WrongKey")
        let name = try await Client.open(folder: folder, key: other).name()
        XCTAssertEqual(name, "Alice")
    }

    func testLinksAndIdsThatDoNotParse() async throws {
        let alice = try await phone("Alice")
        for link in ["", "af", "https://example.org", Node.shared.link] {
            let failure = await kind { try await alice.join(link: link) }
            XCTAssertEqual(failure, "BadLink", link)
        }
        let node = await kind { try await phone("Bob", nodes: ["an"]) }
        XCTAssertEqual(node, "BadLink")
        let looked = await kind { try inspectLink(text: "af123") }
        XCTAssertEqual(looked, "BadLink")
        let id = await kind { try await alice.channel(id: ChannelId(text: "no id")) }
        XCTAssertEqual(id, "BadInput")
        let unknown = await kind { try await alice.message(id: MessageId(text: String(repeating: "0", count: 64))) }
        XCTAssertTrue(["NotFound", "BadInput"].contains(unknown), unknown)
        let name = await kind { try await alice.createChannel(name: "") }
        XCTAssertEqual(name, "BadInput")
        let text = try await alice.createChannel(name: "family")
        let long = await kind { try await text.send(text: String(repeating: "a", count: 20_000)) }
        XCTAssertEqual(long, "BadInput")
    }

    func testPicturesWithoutACode() async {
        let blank = await kind { try readQrLuma(width: 64, height: 64, rowStride: 64, luma: Data(count: 4_096)) }
        XCTAssertEqual(blank, "NoCode")
        let short = await kind { try readQrLuma(width: 640, height: 480, rowStride: 640, luma: Data(count: 10)) }
        XCTAssertEqual(short, "NoCode")
        let png = await kind { try readQrPng(png: Data("no picture".utf8)) }
        XCTAssertEqual(png, "NoCode")
    }

    func testBackups() async throws {
        let alice = try await phone("Alice")
        let channel = try await alice.createChannel(name: "family")
        _ = try await channel.send(text: "hello")
        let backup = temporary()
        try await alice.exportBackup(to: backup, passphrase: "correct horse")
        try await alice.shutdown()
        let wrong = await kind {
            try await Client.importBackup(backup: backup, passphrase: "wrong", folder: temporary(), key: key)
        }
        XCTAssertEqual(wrong, "WrongKey")
        let copy = try await Client.importBackup(
            backup: backup, passphrase: "correct horse", folder: temporary(), key: Data(repeating: 3, count: 32))
        equal(try await copy.findChannel(nameOrPrefix: "family").texts(), ["hello"])
        try Data("no backup".utf8).write(to: URL(fileURLWithPath: backup))
        let bad = await kind {
            try await Client.importBackup(backup: backup, passphrase: "wrong", folder: temporary(), key: key)
        }
        XCTAssertEqual(bad, "BadBackup")
    }

    func testIdsAreValues() throws {
        let id = MessageId(text: "0a")
        XCTAssertEqual("\(id)", "0a")
        XCTAssertEqual(String(decoding: try JSONEncoder().encode([id]), as: UTF8.self), #"["0a"]"#)
        XCTAssertEqual(try JSONDecoder().decode([MessageId].self, from: Data(#"["0a"]"#.utf8)), [id])
        XCTAssertFalse(version().isEmpty)
    }
}
