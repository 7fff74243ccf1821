import { testService } from './service.mjs';

testService('ws');
