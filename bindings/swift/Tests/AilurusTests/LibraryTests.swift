import Foundation
import Glibc
import XCTest

/// A program that meets another native library than the one that it was built with.
final class LibraryTests: XCTestCase {
    func testMissingLibrary() throws {
        let native = repository.appendingPathComponent("target/bindings/native").path
        var program = try Data(contentsOf: interop)
        // The same program, which looks for its library where there is none.
        let place = try XCTUnwrap(program.range(of: Data(native.utf8)))
        program.replaceSubrange(place, with: Data(native.dropLast().utf8) + Data("_".utf8))
        let copy = URL(fileURLWithPath: temporary())
        try program.write(to: copy)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: copy.path)
        let (status, said) = try run(copy)
        XCTAssertNotEqual(status, 0)
        XCTAssertTrue(said.contains("libailurus.so"), said)
    }

    func testDamagedLibrary() throws {
        let folder = try libraries()
        try Data("no library".utf8).write(to: folder.appendingPathComponent("libailurus.so"))
        let (status, said) = try run(interop, library: folder)
        XCTAssertNotEqual(status, 0)
        XCTAssertTrue(said.contains("libailurus.so"), said)
    }

    func testLibraryOfAnotherVersion() throws {
        let header = repository.appendingPathComponent("target/bindings/swift/AilurusFFI.h")
        let text = try String(contentsOf: header, encoding: .utf8)
        let names = try NSRegularExpression(pattern: #"\b(?:uniffi|ffi)_ailurus_ffi_\w+(?=\()"#)
            .matches(in: text, range: NSRange(text.startIndex..., in: text))
            .map { String(text[Range($0.range, in: text)!]) }
        XCTAssertGreaterThan(names.count, 100)
        let folder = try libraries()
        let source = folder.appendingPathComponent("other.c")
        try Set(names).map { "unsigned \($0)(void) { return 1; }" }.joined(separator: "\n")
            .write(to: source, atomically: true, encoding: .utf8)
        let library = folder.appendingPathComponent("libailurus.so")
        let (built, log) = try run(
            URL(fileURLWithPath: "/usr/bin/cc"), ["-shared", "-fPIC", "-w", "-o", library.path, source.path])
        XCTAssertEqual(built, 0, log)
        let (status, said) = try run(interop, library: folder)
        XCTAssertNotEqual(status, 0)
        XCTAssertTrue(said.contains("mismatch"), said)
    }

    private var interop: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("ailurus-interop")
    }

    private func libraries() throws -> URL {
        let folder = URL(fileURLWithPath: temporary())
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Runs a program for at most 20 seconds; its status, and what it said to standard error.
    private func run(
        _ program: URL, _ arguments: [String] = ["folder", "an", "af", "Alice", "Bob"], library: URL? = nil
    ) throws -> (Int32, String) {
        let (process, errors) = (Process(), Pipe())
        process.executableURL = program
        process.arguments = arguments
        process.standardError = errors
        process.currentDirectoryURL = try libraries()
        process.environment = ["PATH": "/usr/bin:/bin"]
        if let library { process.environment!["LD_LIBRARY_PATH"] = library.path }
        try process.run()
        let alarm = DispatchWorkItem { kill(process.processIdentifier, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + 20, execute: alarm)
        let said = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        alarm.cancel()
        XCTAssertNotEqual(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGKILL, true, "it hung")
        return (process.terminationStatus, String(decoding: said, as: UTF8.self))
    }
}
