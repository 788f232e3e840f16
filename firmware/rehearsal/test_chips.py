"""The models refuse what the manuals forbid."""

import unittest

import chips
import cortex_m
from chips import nrf52, rp2, stm32f7, stm32h7, stm32l4, stm32n6
from cortex_m import Fault


class Registers:
    """A chip's registers without a core, for writes in any order."""

    def __init__(self, chip, name):
        self.chip = chips.of({"chip": chip, "name": name})
        self.held = dict(cortex_m.RESET) | dict(self.chip.RESET)

    def write(self, word, value):
        home = self.chip.home(word)
        old = self.held.get(home, 0)
        self.held[home] = self.chip.written(self.held, word, old, value)
        notes = list(self.chip.write(self.held, word, old, self.held[home]))
        self.chip.check(self.held)
        return notes

    def state(self):
        return self.chip.state(self.held)


def l4r5():
    """At 16 MHz, with the power controller clocked and the PLL set to 120 MHz."""
    registers = Registers("STM32L4R5ZI", "nucleo-l4r5zi")
    registers.write(stm32l4.APB1ENR1, stm32l4.POWER)
    registers.write(stm32l4.PLLCFGR, 0x0100_1E12)
    return registers


class Stm32l4(unittest.TestCase):
    def test_boost_that_a_reset_undoes(self):
        registers = l4r5()
        registers.write(stm32l4.PWR_CR5, 0)
        notes = registers.write(stm32l4.APB1RSTR1, stm32l4.POWER)
        self.assertEqual(notes, ["the power controller is reset"])
        registers.write(stm32l4.ACR, 5)
        registers.write(stm32l4.CFGR, 8 << 4 | 3)
        with self.assertRaisesRegex(Fault, "range 1 without boost"):
            registers.write(stm32l4.CFGR, 3)

    def test_clock_before_wait_states(self):
        registers = l4r5()
        registers.write(stm32l4.PWR_CR5, 0)
        registers.write(stm32l4.CFGR, 8 << 4)
        with self.assertRaisesRegex(Fault, "0 wait states"):
            registers.write(stm32l4.CFGR, 8 << 4 | 3)

    def test_clock_in_one_step(self):
        registers = l4r5()
        registers.write(stm32l4.PWR_CR5, 0)
        registers.write(stm32l4.ACR, 5)
        with self.assertRaisesRegex(Fault, "one step"):
            registers.write(stm32l4.CFGR, 3)

    def test_power_controller_without_its_clock(self):
        with self.assertRaisesRegex(Fault, "without its clock"):
            Registers("STM32L4R5ZI", "nucleo-l4r5zi").write(stm32l4.PWR_CR5, 0)

    def test_right_order(self):
        registers = l4r5()
        registers.write(stm32l4.PWR_CR5, 0)
        registers.write(stm32l4.ACR, 5)
        registers.write(stm32l4.CFGR, 8 << 4 | 3)
        registers.write(stm32l4.CFGR, 3)
        self.assertEqual(registers.state()["core_hz"], 120_000_000)
        self.assertTrue(registers.state()["boost"])


class Stm32f7(unittest.TestCase):
    def test_over_drive_that_is_missing(self):
        registers = Registers("STM32F746NG", "stm32f746g-disco")
        registers.write(stm32f7.PLLCFGR, 0x0040_6C19)
        registers.write(stm32f7.ACR, 7)
        with self.assertRaisesRegex(Fault, "without over-drive"):
            registers.write(stm32f7.CFGR, 0x9402)

    def test_wait_states_after_the_clock(self):
        registers = Registers("STM32F746NG", "stm32f746g-disco")
        registers.write(stm32f7.APB1ENR, stm32f7.POWER)
        registers.write(stm32f7.PWR_CR1, 0xC000 | stm32f7.OVERDRIVE)
        registers.write(stm32f7.PLLCFGR, 0x0040_6C19)
        with self.assertRaisesRegex(Fault, "0 wait states"):
            registers.write(stm32f7.CFGR, 0x9402)


class Stm32h7(unittest.TestCase):
    def rise(self, name, divide):
        registers = Registers("STM32H743ZI", name)
        registers.write(stm32h7.PWR_D3CR, 0xC000)
        registers.write(stm32h7.PWRCR, 1)
        registers.write(stm32h7.PLLCKSELR, 0x42)
        registers.write(stm32h7.PLL1DIVR, divide)
        registers.write(stm32h7.ACR, 0x24)
        registers.write(stm32h7.D1CFGR, 0x48)
        registers.write(stm32h7.CFGR, 3)
        return registers.state()["core_hz"]

    def test_revisions(self):
        self.assertEqual(self.rise("nucleo-h743zi2", 0x0101_03DF), 480_000_000)
        with self.assertRaisesRegex(Fault, "revision Y"):
            self.rise("nucleo-h743zi", 0x0101_03DF)


class Stm32n6(unittest.TestCase):
    def test_pll_that_is_in_use(self):
        registers = Registers("STM32N657", "stm32n6570-dk")
        with self.assertRaisesRegex(Fault, "while it clocks"):
            registers.write(stm32n6.PLL1CFGR1, 0)
        with self.assertRaisesRegex(Fault, "switched off"):
            registers.write(stm32n6.CR + stm32n6.CLEAR, stm32n6.PLL1)


class Nrf52(unittest.TestCase):
    def test_flash_that_is_opened_behind_a_cache(self):
        registers = Registers("nRF52840_xxAA", "nrf52840-dk")
        registers.write(nrf52.ICACHECNF, 1)
        with self.assertRaisesRegex(Fault, "cache is on"):
            registers.write(nrf52.CONFIG, 1)


class Rp2(unittest.TestCase):
    def test_pll_that_is_off(self):
        registers = Registers("RP2040", "rpi-pico")
        with self.assertRaisesRegex(Fault, "held in reset"):
            registers.write(rp2.Rp2040.PLL, 1)
        with self.assertRaisesRegex(Fault, "not on"):
            registers.write(rp2.Rp2040.CLOCKS + 0x3C, 1)


class Core(unittest.TestCase):
    def test_caches_that_are_not_invalidated(self):
        class Machine:
            registers = dict(cortex_m.RESET)
            trace = []

        machine = Machine()
        with self.assertRaisesRegex(Fault, "instruction cache"):
            cortex_m.write(machine, cortex_m.CCR, cortex_m.INSTRUCTION_CACHE)
        cortex_m.write(machine, cortex_m.ICIALLU, 0)
        cortex_m.write(machine, cortex_m.CCR, cortex_m.INSTRUCTION_CACHE)
        cortex_m.write(machine, cortex_m.DCISW, 0)
        with self.assertRaisesRegex(Fault, "all of it"):
            cortex_m.write(machine, cortex_m.CCR, cortex_m.DATA_CACHE)


if __name__ == "__main__":
    unittest.main()
