import Ailurus
import Foundation
import Glibc
import XCTest

let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

private let program = repository.appendingPathComponent("target/debug/ailurus-node")

/// A storage key for tests.
let key = Data(repeating: 7, count: 32)

/// A super node in a process of its own.
final class Node {
    let link: String
    private let data = temporary()
    private let process = Process()

    /// The one that most tests share.
    static let shared = try! Node()

    /// Starts one, whose link may show another address.
    init(advertise: String? = nil) throws {
        let output = Pipe()
        process.executableURL = program
        process.arguments = ["--data", data, "--listen", "127.0.0.1:0"]
        process.arguments! += advertise.map { ["--advertise", $0] } ?? []
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { throw Broken("the node ended without its link") }
            line += more
        }
        link = String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        Node.all.append(self)
        _ = Node.cleaner
    }

    /// Its operator's invitation for one person.
    func invite() throws -> String {
        let (command, output) = (Process(), Pipe())
        command.executableURL = program
        command.arguments = ["invite", "--data", data]
        command.standardOutput = output
        command.standardError = FileHandle.nullDevice
        try command.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        command.waitUntilExit()
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Kills it: a process that Foundation starts from a thread of a task passes over other signals.
    func stop() {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    nonisolated(unsafe) private static var all: [Node] = []

    /// Ends what was started and deletes what was written, once all tests have run.
    private static let cleaner: Void = {
        final class Cleaner: NSObject, XCTestObservation {
            func testBundleDidFinish(_: Bundle) {
                Node.all.forEach { $0.stop() }
                try? FileManager.default.removeItem(atPath: scratch)
            }
        }
        XCTestObservationCenter.shared.addTestObserver(Cleaner())
    }()
}

/// A UDP port that takes everything and never answers.
final class BlackHole {
    let port: UInt16
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        if !bound { throw Broken("no UDP port") }
    }

    deinit { close(descriptor) }

    /// The link of a node that seems to be there.
    func link() throws -> String {
        let node = try Node(advertise: "127.0.0.1:\(port)")
        node.stop()
        return node.link
    }
}

/// What a test cannot go on without.
struct Broken: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

private let scratch = NSTemporaryDirectory() + "ailurus-swift-\(UUID().uuidString)"
private let counter = Counter()

/// A path that nothing is at, in a folder that is deleted in the end.
func temporary() -> String {
    try! FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
    return "\(scratch)/\(counter.next())"
}

/// Counts, from any thread.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0

    @discardableResult
    func next() -> Int {
        lock.withLock {
            count += 1
            return count
        }
    }

    var value: Int { lock.withLock { count } }
}

/// A value that threads share.
final class Shared<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var held: Value

    init(_ value: Value) { held = value }

    var value: Value { lock.withLock { held } }

    func change(_ change: (inout Value) -> Void) { lock.withLock { change(&held) } }
}

/// A new profile, at the shared node.
func phone(_ name: String, nodes: [String] = [Node.shared.link], folder: String = temporary()) async throws -> Client {
    try await Client.create(folder: folder, key: key, name: name, nodes: nodes)
}

/// The kind of the error that a call fails with, "none" if it does not, and another type's name if it is not ours.
func kind<T>(_ call: () async throws -> T) async -> String {
    do {
        _ = try await call()
        return "none"
    } catch let error as AilurusError {
        XCTAssertEqual(error.localizedDescription, error.message)
        XCTAssertGreaterThan(error.message.count, 10, "a sentence")
        return String(String(describing: error).prefix { $0 != "(" })
    } catch {
        return String(describing: type(of: error))
    }
}

/// Waits until something is so.
func eventually(
    _ what: String, within seconds: Double = 15, file: StaticString = #filePath, line: UInt = #line,
    _ so: () async throws -> Bool
) async throws {
    let end = Date() + seconds
    while Date() < end {
        if try await so() { return }
        try await Task.sleep(nanoseconds: 20_000_000)
    }
    XCTFail("not within \(seconds) s: \(what)", file: file, line: line)
    throw Broken(what)
}

/// `XCTAssertEqual`, for values that are awaited.
func equal<T: Equatable>(
    _ found: T, _ expected: T, _ message: String = "", file: StaticString = #filePath, line: UInt = #line
) {
    XCTAssertEqual(found, expected, message, file: file, line: line)
}

/// How long a call took, in seconds.
func seconds(_ call: () async throws -> Void) async rethrows -> Double {
    let start = Date()
    try await call()
    return Date().timeIntervalSince(start)
}

/// Sleeps, for as long as a cancelled task or less.
func pause(_ seconds: Double) async {
    try? await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
}

extension Channel {
    /// The texts of the latest messages, oldest first.
    func texts() async throws -> [String] { try await messages(page: .latest, limit: 1_000).map(\.text) }
}
