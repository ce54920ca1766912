import Foundation

/// A text in the phone's language, from Localizable.strings; `check` compares the keys that are used with those there.
func localized(_ key: String, _ values: any CVarArg...) -> String {
    let format = NSLocalizedString(key, comment: "")
    return values.isEmpty ? format : String(format: format, locale: .current, arguments: values)
}
