// swift-tools-version:5.9
// The demo's view models, apart from SwiftUI, so that they are built and tested on any machine. `project.yml` makes the
// app of them.

import PackageDescription

let native = Context.packageDirectory + "/../target/bindings/native"

let package = Package(
    name: "AilurusDemo",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "AilurusDemoModel", targets: ["AilurusDemoModel"])],
    dependencies: [.package(name: "Ailurus", path: "..")],
    targets: [
        .target(
            name: "AilurusDemoModel",
            dependencies: [.product(name: "Ailurus", package: "Ailurus")],
            path: "Sources/Model"
        ),
        .testTarget(
            name: "ModelTests",
            dependencies: ["AilurusDemoModel"],
            path: "Tests/ModelTests",
            linkerSettings: [.unsafeFlags(["-L\(native)", "-Xlinker", "-rpath", "-Xlinker", native])]
        ),
    ]
)
