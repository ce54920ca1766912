// swift-tools-version:5.9
// The Swift package. `make swift` writes what it needs: the bindings, and the native library (an xcframework for Apple
// platforms by `make xcframework`).

import Foundation
import PackageDescription

let swift = "bindings/swift"
let xcframework = "target/xcframework/Ailurus.xcframework"
let native = Context.packageDirectory + "/target/bindings/native"

#if os(macOS)
let packaged = FileManager.default.fileExists(atPath: Context.packageDirectory + "/" + xcframework)
#else
let packaged = false
#endif

/// The C face: in the xcframework, or the library that `make swift` builds for this machine.
let ffi: Target = packaged
    ? .binaryTarget(name: "AilurusFFI", path: xcframework)
    : .systemLibrary(name: "AilurusFFI", path: "\(swift)/Sources/AilurusFFI")

/// Where programs of this repository find the library of this machine. The product itself has no unsafe flags, so that
/// other packages may depend on it.
let here: [LinkerSetting] = packaged
    ? []
    : [.unsafeFlags(["-L\(native)", "-Xlinker", "-rpath", "-Xlinker", native])]

let package = Package(
    name: "Ailurus",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Ailurus", targets: ["Ailurus"])],
    targets: [
        ffi,
        .target(name: "Ailurus", dependencies: ["AilurusFFI"], path: "\(swift)/Sources/Ailurus"),
        .executableTarget(
            name: "ailurus-interop",
            dependencies: ["Ailurus"],
            path: "\(swift)/Interop",
            linkerSettings: here
        ),
        .testTarget(
            name: "AilurusTests",
            dependencies: ["Ailurus", "ailurus-interop"],
            path: "\(swift)/Tests/AilurusTests",
            linkerSettings: here
        ),
    ]
)
