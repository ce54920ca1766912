import Foundation
import XCTest

/// The app's texts: everything on the screen is in both languages, and nothing else is kept.
final class TextTests: XCTestCase {
    func testBothLanguagesHaveTheSameTexts() throws {
        for table in ["Localizable", "InfoPlist"] {
            let english = try texts(table, "en")
            let german = try texts(table, "de")
            XCTAssertFalse(english.isEmpty)
            XCTAssertEqual(Set(english.keys).symmetricDifference(german.keys), [], "\(table).strings")
            for (key, text) in english {
                XCTAssertFalse(text.isEmpty, key)
                XCTAssertEqual(placeholders(german[key] ?? ""), placeholders(text), key)
                XCTAssertEqual(placeholders(key), placeholders(text), key)
            }
        }
    }

    func testEveryTextIsUsedAndEveryUsedTextExists() throws {
        let used = Set(try sources().flatMap { matches(#"localized\(\s*"([^"]+)""#, in: $0.text) })
        let known = Set(try texts("Localizable", "en").keys)
        XCTAssertEqual(used.subtracting(known), [], "used, and in no Localizable.strings")
        XCTAssertEqual(known.subtracting(used), [], "in Localizable.strings, and not used")

        let project = try String(contentsOf: demo.appendingPathComponent("project.yml"), encoding: .utf8)
        for key in try texts("InfoPlist", "en").keys {
            XCTAssertTrue(project.contains("\(key):"), "\(key) is not in project.yml")
        }
    }

    func testViewsHoldNoTextsOrFontSizesOfTheirOwn() throws {
        let shown = "Text|Button|Label|Toggle|Picker|TextField|SecureField|ProgressView|navigationTitle|accessibilityLabel"
        for source in try sources() {
            // A text that begins with a value, such as a number, is in no language.
            XCTAssertEqual(matches(#"(?:\#(shown))\(\s*("(?!\\\()[^"]*")"#, in: source.text), [], source.name)
            XCTAssertEqual(matches(#"(\.system\(\s*size|\.custom\()"#, in: source.text), [], source.name)
        }
    }

    func testSymbolsAreDescribed() throws {
        // An image alone says nothing to who cannot see it; in a Label it stands beside a text.
        for source in try sources() {
            let images = matches(#"(Image\(systemName: [^)]*\))"#, in: source.text)
            let described = matches(#"(Image\(systemName: [^)]*\))\s*\.accessibilityLabel"#, in: source.text)
            XCTAssertEqual(images, described, source.name)
        }
    }

    private let demo = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func sources() throws -> [(name: String, text: String)] {
        let folder = demo.appendingPathComponent("App")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "swift" }.map {
            ($0.lastPathComponent, try String(contentsOf: $0, encoding: .utf8))
        }
    }

    private func texts(_ table: String, _ language: String) throws -> [String: String] {
        let file = demo.appendingPathComponent("App/\(language).lproj/\(table).strings")
        var texts: [String: String] = [:]
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
            let parts = matches(#""((?:[^"\\]|\\.)*)""#, in: String(line))
            XCTAssertEqual(parts.count, 2, "\(file.lastPathComponent): \(line)")
            XCTAssertEqual(line.last, ";", "\(file.lastPathComponent): \(line)")
            XCTAssertNil(texts.updateValue(parts[1], forKey: parts[0]), "\(parts[0]) is there twice")
        }
        return texts
    }

    private func placeholders(_ text: String) -> [String] {
        matches("(%[@a-z]+)", in: text)
    }

    /// What the first group of a pattern matches.
    private func matches(_ pattern: String, in text: String) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern) else {
            XCTFail("no pattern: \(pattern)")
            return []
        }
        return expression.matches(in: text, range: NSRange(text.startIndex..., in: text)).compactMap {
            Range($0.range(at: 1), in: text).map { String(text[$0]) }
        }
    }
}
