"""The models refuse what the manuals forbid."""

import unittest

import chips
import cortex_m
import mlperf
from chips import (
    nrf52,
    nrf53,
    nrf54l,
    rp2,
    stm32f4,
    stm32f7,
    stm32g0,
    stm32h7,
    stm32l4,
    stm32n6,
    stm32u5,
)
from cortex_m import Fault
from serial_port import LowPowerPort, SerialPort


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


class Stm32h7a3(unittest.TestCase):
    def setUp(self):
        self.registers = Registers("STM32H7A3ZI", "nucleo-h7a3zi-q")

    def test_supply(self):
        with self.assertRaisesRegex(Fault, "before the core's supply"):
            self.registers.write(stm32h7.PWR_D3CR, 0xC000)
        with self.assertRaisesRegex(Fault, "not the step-down converter"):
            self.registers.write(stm32h7.PWR_CR3, 2)

    def test_supply_that_is_chosen_again(self):
        self.registers.held[stm32h7.PWR_CR3] = 2
        with self.assertRaisesRegex(Fault, "a second time"):
            self.registers.write(stm32h7.PWR_CR3, 4)

    def test_wait_states(self):
        self.registers.write(stm32h7.PWR_CR3, 4)
        self.registers.write(stm32h7.PWR_D3CR, 0xC000)
        self.registers.write(stm32h7.PLLCKSELR, 0x42)
        self.registers.write(stm32h7.PLL1DIVR, 0x0101_0317)
        self.registers.write(stm32h7.ACR, 5)
        with self.assertRaisesRegex(Fault, "280 MHz; voltage scale 0 and 5 wait"):
            self.registers.write(stm32h7.CFGR, 3)


class Stm32f4(unittest.TestCase):
    def rise(self, chip, multiplier, buses, wait_states):
        registers = Registers(chip, chip)
        registers.write(stm32f7.APB1ENR, stm32f7.POWER)
        registers.write(stm32f7.PWR_CR1, 0xC000)
        registers.write(stm32f7.PLLCFGR, 1 << 22 | multiplier << 6 | 4)
        registers.write(stm32f7.CR, 0x0101_0083)
        registers.write(stm32f7.ACR, wait_states)
        registers.write(stm32f7.CFGR, buses << 10 | 2)
        return registers.state()["core_hz"]

    def test_limits(self):
        self.assertEqual(self.rise("STM32F411RE", 100, 4, 3), 100_000_000)
        self.assertEqual(self.rise("STM32F407VG", 168, 0b100101, 5), 168_000_000)
        with self.assertRaisesRegex(Fault, "2 wait states allow 90 MHz"):
            self.rise("STM32F411RE", 100, 4, 2)
        with self.assertRaisesRegex(Fault, "peripheral bus runs at 100 MHz"):
            self.rise("STM32F411RE", 100, 0, 3)
        with self.assertRaisesRegex(Fault, "voltage scale 1 and 5 wait states allow"):
            self.rise("STM32F407VG", 180, 0b100101, 5)

    def test_voltage_of_a_pll_that_is_on(self):
        registers = Registers("STM32F411RE", "nucleo-f411re")
        registers.write(stm32f7.APB1ENR, stm32f7.POWER)
        registers.write(stm32f7.CR, stm32f4.PLL_ON)
        with self.assertRaisesRegex(Fault, "while the PLL is on"):
            registers.write(stm32f7.PWR_CR1, 0xC000)


class Stm32g0(unittest.TestCase):
    def test_wait_states_after_the_clock(self):
        registers = Registers("STM32G0B1RE", "nucleo-g0b1re")
        registers.write(stm32g0.PLLCFGR, 0x3000_0802)
        with self.assertRaisesRegex(Fault, "0 wait states allow 24 MHz"):
            registers.write(stm32g0.CFGR, 2)
        registers = Registers("STM32G0B1RE", "nucleo-g0b1re")
        registers.write(stm32g0.PLLCFGR, 0x3000_0802)
        registers.write(stm32g0.ACR, 0x4_0602)
        registers.write(stm32g0.CFGR, 2)
        self.assertEqual(registers.state()["core_hz"], 64_000_000)
        with self.assertRaisesRegex(Fault, "prefetch is on"):
            registers.write(stm32g0.ACR, 0x4_0702)
        with self.assertRaisesRegex(Fault, "without the block's clock"):
            registers.write(stm32g0.DBG + 8, 1 << 12)


class Stm32u5(unittest.TestCase):
    def setUp(self):
        self.registers = Registers("STM32U575ZI", "nucleo-u575zi-q")
        self.registers.write(stm32u5.AHB3ENR, stm32u5.POWER)
        self.registers.write(stm32u5.VOSR, 3 << 16)
        self.registers.write(stm32u5.PLL1DIVR, 1 << 24 | 39)
        self.registers.write(stm32u5.PLL1CFGR, 1 << 18 | 1 << 8 | 2)
        self.registers.write(stm32u5.ACR, 4)

    def test_booster(self):
        with self.assertRaisesRegex(Fault, "without booster"):
            self.registers.write(stm32u5.CFGR1, 3)

    def test_booster_without_a_clock(self):
        self.registers.write(stm32u5.PLL1CFGR, 0)
        with self.assertRaisesRegex(Fault, "booster's clock is 0 MHz"):
            self.registers.write(stm32u5.VOSR, stm32u5.BOOST | 3 << 16)

    def test_right_order(self):
        self.registers.write(stm32u5.VOSR, stm32u5.BOOST | 3 << 16)
        self.registers.write(stm32u5.CFGR1, 3)
        self.assertEqual(self.registers.state()["core_hz"], 160_000_000)


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


class Nrf53(unittest.TestCase):
    def test_flash_that_is_opened_behind_a_cache(self):
        registers = Registers("nRF5340_xxAA", "nrf5340-dk")
        self.assertEqual(registers.state()["core_hz"], 64_000_000)
        registers.write(nrf53.HFCLKCTRL, 0)
        self.assertEqual(registers.state()["core_hz"], 128_000_000)
        registers.write(nrf53.ENABLE, 1)
        with self.assertRaisesRegex(Fault, "cache is on"):
            registers.write(nrf53.CONFIG, 1)

    def test_cache_that_is_ram(self):
        registers = Registers("nRF5340_xxAA", "nrf5340-dk")
        registers.write(nrf53.MODE, 1)
        with self.assertRaisesRegex(Fault, "as RAM"):
            registers.write(nrf53.ENABLE, 1)


class Nrf54l(unittest.TestCase):
    def test_frequencies(self):
        registers = Registers("nRF54L15", "nrf54l15-dk")
        self.assertEqual(registers.state()["core_hz"], 64_000_000)
        registers.write(nrf54l.FREQ, 1)
        self.assertEqual(registers.state()["core_hz"], 128_000_000)
        with self.assertRaisesRegex(Fault, "no frequency 2"):
            registers.write(nrf54l.FREQ, 2)


class Rp2(unittest.TestCase):
    def test_pll_that_is_off(self):
        registers = Registers("RP2040", "rpi-pico")
        with self.assertRaisesRegex(Fault, "held in reset"):
            registers.write(rp2.Rp2040.PLL, 1)
        with self.assertRaisesRegex(Fault, "not on"):
            registers.write(rp2.Rp2040.CLOCKS + 0x3C, 1)


class Watchdogs(unittest.TestCase):
    """What tells that the watchdog was it is there, and goes when the firmware says so."""

    def test_causes(self):
        for chip, name, clear in (
            ("STM32L4R5ZI", "nucleo-l4r5zi", 1 << 23),
            ("STM32F411RE", "nucleo-f411re", 1 << 24),
            ("STM32F746NG", "stm32f746g-disco", 1 << 24),
            ("STM32G0B1RE", "nucleo-g0b1re", 1 << 23),
            ("STM32H743ZI", "nucleo-h743zi", 1 << 16),
            ("STM32H7A3ZI", "nucleo-h7a3zi-q", 1 << 16),
            ("STM32U575ZI", "nucleo-u575zi-q", 1 << 23),
            ("STM32N657", "stm32n6570-dk", 1 << 16),
            ("nRF52840_xxAA", "nrf52840-dk", 1 << 1),
            ("nRF5340_xxAA", "nrf5340-dk", 1 << 1),
            ("nRF54L15", "nrf54l15-dk", 1 << 2),
        ):
            with self.subTest(name):
                registers = Registers(chip, name)
                watchdog = registers.chip.units[-1]
                register, bit = watchdog.cause()
                registers.held[register] = registers.held.get(register, 0) | bit
                held = registers.held[register]
                new = watchdog.filtered(register, held, 0)
                self.assertEqual(new & bit, bit)
                new = watchdog.filtered(register, held, held | clear)
                self.assertEqual(new & bit, 0)


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

    def test_guard(self):
        registers = {
            cortex_m.MPU_CTRL: 5,
            cortex_m.MPU_RBAR: 0x1FFF_E000,
            cortex_m.MPU_RASR: 0x1000_0019,
        }
        self.assertEqual(cortex_m.guard(registers), (0x1FFF_E000, 8192))
        # Off, with access, without the default map.
        for register, value in (
            (cortex_m.MPU_CTRL, 4),
            (cortex_m.MPU_RASR, 0x1300_0019),
            (cortex_m.MPU_CTRL, 1),
        ):
            self.assertIsNone(cortex_m.guard(registers | {register: value}))


class Serial(unittest.TestCase):
    def test_rates(self):
        for kind, generation, registers, clock in (
            (SerialPort, 3, {0x10C: 556}, 64_000_000),
            (SerialPort, 3, {0x100: 1 << 15, 0x10C: 0x451 & ~0xF}, 64_000_000),
            (SerialPort, 2, {0x108: 434}, 50_000_000),
            (LowPowerPort, 3, {0x10C: 35_556}, 16_000_000),
        ):
            port = kind(0x100, generation, [], b"")
            rate = port.check_rate(registers, clock, 115_200)
            self.assertAlmostEqual(rate / 115_200, 1, delta=0.02)
            with self.assertRaisesRegex(Fault, "serial port runs at"):
                port.check_rate(registers, clock // 2, 115_200)

    def test_answers(self):
        pixels, logits = bytes(range(64)), [65_536, -32_768]
        answers = [["m-init-done"], ["m-name-dut-[tadpool]"], ["", "m-model-[ic01]"]]
        answers += [["m-[Expecting 64 bytes]"], [], ["m-load-done"]]
        answers += 2 * [["m-results-[1.000,-0.500]"]]

        def said(answers):
            lines = ("".join(f"{line}\r\n" for line in one) for one in answers)
            return "".join(f"{one}m-ready\r\n" for one in lines).encode()

        mlperf.check(said(answers), pixels, logits)
        with self.assertRaisesRegex(Fault, "not"):
            mlperf.check(said(answers), pixels, [65_536, -32_000])
        with self.assertRaisesRegex(Fault, "6 of 7 commands"):
            mlperf.check(said(answers[:-1]), pixels, logits)


if __name__ == "__main__":
    unittest.main()
