import Ailurus
import AilurusDemoModel
import Foundation
import XCTest

/// A super node on this machine, ended with the test.
final class SuperNode {
    let link: String
    private let process = Process()
    private let data: URL
    private let program = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("target/debug/ailurus-node")

    init(data: URL) throws {
        self.data = data
        guard FileManager.default.isExecutableFile(atPath: program.path) else {
            throw Missing(what: "target/debug/ailurus-node; build it: cargo build -p ailurus-node")
        }
        process.executableURL = program
        process.arguments = ["--data", data.path, "--listen", "127.0.0.1:0"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var line = Data()
        while line.last != UInt8(ascii: "\n") {
            let more = output.fileHandleForReading.readData(ofLength: 1)
            guard !more.isEmpty else { throw Missing(what: "the link of a super node: it ended before it printed one") }
            line += more
        }
        link = String(decoding: line.dropLast(), as: UTF8.self)
    }

    /// Its operator's invitation for one person.
    func invite() throws -> String {
        let (command, output) = (Process(), Pipe())
        command.executableURL = program
        command.arguments = ["invite", "--data", data.path]
        command.standardOutput = output
        command.standardError = FileHandle.nullDevice
        try command.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        command.waitUntilExit()
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func stop() {
        process.terminate()
        process.waitUntilExit()
    }
}

struct Missing: Error {
    let what: String
}

/// Keeps the storage key in memory.
final class MemoryVault: KeyVault, @unchecked Sendable {
    private let lock = NSLock()
    private var key: Data?

    init(key: Data? = nil) { self.key = key }

    func load() throws -> Data? { lock.withLock { key } }

    func store(key: Data) throws { lock.withLock { self.key = key } }
}

/// A test with a super node and phones, all in a folder that is removed at the end.
@MainActor
class DemoTestCase: XCTestCase {
    private(set) var folder: URL!
    private(set) var node: SuperNode!
    private var phones: [AppModel] = []
    private var watching: [Task<Void, Never>] = []

    override func setUp() async throws {
        try await super.setUp()
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("ailurus-demo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        node = try SuperNode(data: folder.appendingPathComponent("node"))
    }

    override func tearDown() async throws {
        for task in watching { task.cancel() }
        for phone in phones { await phone.close() }
        node?.stop()
        try FileManager.default.removeItem(at: folder)
        try await super.tearDown()
    }

    /// A phone that was never started; its folder is named like `name`.
    func newPhone(_ name: String, vault: any KeyVault = MemoryVault()) -> AppModel {
        let phone = AppModel(profile: Profile(folder: folder.appendingPathComponent(name), vault: vault))
        phones.append(phone)
        return phone
    }

    /// A phone with a profile; in the foreground it is connected, and its list is kept up to date.
    func phone(_ name: String, foreground: Bool = true) async throws -> AppModel {
        let phone = newPhone(name)
        await phone.create(name: name, node: node.link)
        XCTAssertNil(phone.failure)
        if foreground {
            try XCTUnwrap(phone.client).setAppState(state: .foreground)
            watch { await phone.watch() }
        }
        return phone
    }

    /// A chat that is on the screen until the end of the test.
    func chat(_ phone: AppModel, _ id: ChannelId) throws -> ChatModel {
        let chat = ChatModel(client: try XCTUnwrap(phone.client), id: id)
        watch { await chat.watch() }
        return chat
    }

    /// Runs something, as a view does while it is shown, until the end of the test.
    @discardableResult
    func watch(_ work: @escaping @MainActor () async -> Void) -> Task<Void, Never> {
        let task = Task { await work() }
        watching.append(task)
        return task
    }

    /// Makes a channel.
    func create(_ phone: AppModel, _ name: String) async throws -> ChannelId {
        let model = CreateModel(client: try XCTUnwrap(phone.client))
        model.name = name
        let made = await model.create()
        XCTAssertNil(model.failure)
        await phone.refresh()
        return try XCTUnwrap(made)
    }

    /// The link of a channel of a phone.
    func link(_ phone: AppModel, _ id: ChannelId, _ access: AccessKind = .full) async throws -> String {
        let share = ShareModel(client: try XCTUnwrap(phone.client), id: id, own: .full)
        share.access = access
        await share.load()
        XCTAssertNil(share.failure)
        return try XCTUnwrap(share.link)
    }

    /// Joins by a link, as after a scan.
    func join(_ phone: AppModel, _ link: String) async throws -> ChannelId {
        phone.open(link: link)
        let joined = await phone.accept(try XCTUnwrap(phone.offer))
        XCTAssertNil(phone.failure)
        return try XCTUnwrap(joined)
    }

    /// Waits until something holds; fails after 20 seconds.
    func eventually(
        _ what: String,
        file: StaticString = #filePath,
        line: UInt = #line,
        _ holds: @MainActor () async -> Bool
    ) async throws {
        let end = Date(timeIntervalSinceNow: 20)
        while await !holds() {
            guard Date() < end else { return XCTFail("not in 20 s: \(what)", file: file, line: line) }
            try await Task.sleep(nanoseconds: 20_000_000)
        }
    }
}
