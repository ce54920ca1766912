package org.ailurus.demo.model

import java.io.File
import java.nio.file.Files
import org.ailurus.KeyVault

/** A super node of its own, on this machine. */
class Node : AutoCloseable {
    private val folder: File = Files.createTempDirectory("node").toFile()
    private val process: Process
    private val binary = File(System.getProperty("ailurus.root"), "target/debug/ailurus-node")
    val link: String

    init {
        check(binary.canExecute()) { "this needs target/debug/ailurus-node: cargo build -p ailurus-node" }
        process = ProcessBuilder(binary.path, "--data", folder.path, "--listen", "127.0.0.1:0")
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start()
        link = process.inputStream.bufferedReader().readLine() ?: error("the node did not start")
    }

    /** Its operator's invitation for one person. */
    fun invite(): String = ProcessBuilder(binary.path, "invite", "--data", folder.path)
        .redirectError(ProcessBuilder.Redirect.DISCARD)
        .start().inputStream.bufferedReader().readText().trim()

    override fun close() {
        process.destroyForcibly().waitFor()
        folder.deleteRecursively()
    }
}

/** What Android Keystore is on a phone. */
class MemoryVault : KeyVault {
    private var key: ByteArray? = null

    override fun load(): ByteArray? = key?.clone()

    override fun store(key: ByteArray) {
        this.key = key.clone()
    }
}
