package org.ailurus

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** README.md, taken at its word: the build puts its first lines of Kotlin into [quickStart]. */
class QuickStartTest : ClientTest() {
    @Test
    fun `the quick start runs as written`() = test {
        val shown = mutableListOf<QrCode>()
        val printed = ByteArrayOutputStream()
        val screen = System.out
        System.setOut(PrintStream(printed, true))
        try {
            val running = launch(Dispatchers.Default) { quickStart(path("Alice"), KEY, node.link, shown::add) }
            while ("Alice: hello\n" !in printed.toString() && running.isActive) {
                delay(20.milliseconds)
            }
            running.cancelAndJoin()
        } finally {
            System.setOut(screen)
        }
        assertTrue("Alice: hello\n" in printed.toString())
        val code = shown.single()
        assertEquals((code.width * code.width).toInt(), code.modules.size)
    }

    @Test
    fun `it has at most ten lines`() {
        val block = ProcessBuilder(File(ROOT, "scripts/readme-block").path, "kotlin").start()
        val lines = block.inputStream.bufferedReader().readLines()
        assertTrue(lines.size in 1..10, lines.toString())
    }
}
