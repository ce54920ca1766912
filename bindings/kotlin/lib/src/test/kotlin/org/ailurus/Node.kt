package org.ailurus

import java.io.File
import java.nio.file.Files
import java.util.concurrent.TimeUnit

/** A super node in a process of its own on this machine. */
class Node private constructor(private val process: Process, private val folder: File, val link: String) : AutoCloseable {
    val port: Int get() = (inspectLink(link) as LinkInfo.Node).port.toInt()

    /** Its operator's invitation for one person. */
    fun invite(): String {
        val command = ProcessBuilder(PROGRAM.path, "invite", "--data", folder.path)
            .redirectError(ProcessBuilder.Redirect.DISCARD).start()
        return command.inputStream.bufferedReader().readText().trim()
    }

    override fun close() {
        process.destroyForcibly().waitFor(10, TimeUnit.SECONDS)
        folder.deleteRecursively()
    }

    companion object {
        /** One for all tests that do not stop it. */
        val shared: Node by lazy {
            start().also { node -> Runtime.getRuntime().addShutdownHook(Thread(node::close)) }
        }

        fun start(): Node {
            val folder = Files.createTempDirectory("ailurus-node").toFile()
            val process = ProcessBuilder(
                PROGRAM.path, "--data", folder.path, "--listen", "127.0.0.1:0",
            ).redirectError(ProcessBuilder.Redirect.DISCARD).start()
            val link = process.inputStream.bufferedReader().readLine()
            if (link == null) {
                process.destroyForcibly()
                error("the super node does not start; build it first: cargo build -p ailurus-node")
            }
            return Node(process, folder, link)
        }
    }
}

private val PROGRAM by lazy { File(ROOT, "target/debug/ailurus-node") }

/** The repository. */
val ROOT = File(System.getProperty("ailurus.root") ?: error("set the system property ailurus.root to the repository"))
